"""How far a score can be relied on: errors kept for intervals, and samples unlike the training data."""
