"""What every room stands on: types, errors, configuration, files, randomness, runtime, progress."""
