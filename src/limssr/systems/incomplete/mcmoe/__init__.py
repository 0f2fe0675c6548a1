"""MCMoE: a generator of missing streams and a mixture of experts."""
