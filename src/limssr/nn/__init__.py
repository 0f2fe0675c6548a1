"""What networks share: the contract, losses, layers, moments, sequences, transformers and graphs."""
