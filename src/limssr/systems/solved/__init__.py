"""Networks that are solved and not trained: a constant, regressions, trees, mixtures."""
