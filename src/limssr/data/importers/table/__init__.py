"""A manifest and one array file for each stream: own data."""
