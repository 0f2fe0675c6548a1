"""One file for each group of verbs; a verb calls one library function."""
