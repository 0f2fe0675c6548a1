"""Handing a trained run to others: which of its files travel, as a zip file or a repository of a hub, and back."""
