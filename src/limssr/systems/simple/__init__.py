"""Simple systems: attention, moments, late fusion, a small bidirectional transformer."""
