"""One run: train, evaluate, predict, and the files it leaves."""
