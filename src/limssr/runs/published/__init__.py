"""The paper's published files: features, checkpoints and numbers, read without running anything that they name."""
