"""Why a score is what it is: what streams and stretches of time add to it, and how far it can be trusted."""
