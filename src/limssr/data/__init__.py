"""From files to batches: stores, validation, missingness, windows, simulation, importers."""
