"""Streams of language: reading texts and subtitles, cleaning them, and their view in numbers."""
