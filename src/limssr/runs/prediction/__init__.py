"""Scores of samples that a run has not seen: of arrays and stores, of recordings, in one process or in shards."""
