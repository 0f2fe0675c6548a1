"""Every system on one store, with one budget of tuning."""
