"""Figures of `limssr explain`, drawn from numbers alone."""
