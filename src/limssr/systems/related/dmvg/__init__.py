"""DMVG: diffusion of a few latent tokens."""
