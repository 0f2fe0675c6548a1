"""PercePiano: streams from MIDI, and its ratings."""
