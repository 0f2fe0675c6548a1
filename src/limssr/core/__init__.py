"""What all other packages share: types, errors, configuration, files, randomness, runtime, progress."""
