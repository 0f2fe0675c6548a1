"""Why a score is what it is: what streams and stretches of time add to it."""
