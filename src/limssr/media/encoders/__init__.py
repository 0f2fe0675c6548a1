"""Encoders, which turn pictures and sound into features; `table.py` lists them."""
