"""Parts that several comparison systems share."""
