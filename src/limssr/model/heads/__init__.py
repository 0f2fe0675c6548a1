"""From hidden states to scores: the head of the paper, and one that also reads moments of the streams."""
