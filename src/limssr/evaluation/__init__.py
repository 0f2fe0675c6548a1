"""From predictions to numbers: metrics, resampling, significance, and scores under every subset of the streams."""
