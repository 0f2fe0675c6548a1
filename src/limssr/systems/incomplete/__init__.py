"""Systems made for missing streams."""
