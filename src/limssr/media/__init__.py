"""From recordings to features: video, sound and sensor tables on one clock (paper, section 3.3)."""
