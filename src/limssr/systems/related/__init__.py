"""Systems from neighbouring fields, rebuilt for scores."""
