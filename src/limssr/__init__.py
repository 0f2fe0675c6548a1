"""limssr: score a long performance from several time-aligned streams, some of which may be missing."""

__version__ = "0.1.0"
