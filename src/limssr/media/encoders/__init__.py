"""What turns pictures and sound into features; `table.py` names them all."""
