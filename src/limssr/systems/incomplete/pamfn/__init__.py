"""PAMFN: a branch for each stream, and one that mixes them."""
