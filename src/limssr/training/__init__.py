"""Training: the loop, its batches, the optimizer, checkpoints and the choice of an epoch."""
