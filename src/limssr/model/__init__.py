"""LIMSSR itself: layout, prompt, tokens, backbone, heads and the way the backbone reads a batch."""
