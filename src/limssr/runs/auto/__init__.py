"""`limssr auto`: candidates judged by folds of whole groups, a mixture of the best, one run folder."""
