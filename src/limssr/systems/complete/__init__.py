"""Systems for complete data, trained and scored with whatever streams are there."""
