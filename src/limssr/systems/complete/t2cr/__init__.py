"""T2CR: alignment, gates and contrast over time."""
