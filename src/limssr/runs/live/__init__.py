"""Scores while a performance goes on: the scorer, where its segments come from, and how good early scores are."""
