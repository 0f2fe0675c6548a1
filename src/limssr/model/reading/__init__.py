"""How the backbone reads a batch: packed into one row or padded, whole or in chunks."""
