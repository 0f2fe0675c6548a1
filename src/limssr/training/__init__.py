"""The visible loop, what it feeds, what it saves, and how it chooses an epoch."""
