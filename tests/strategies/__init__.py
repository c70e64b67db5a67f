"""Hypothesis strategies: small spectral images and what can be wrong with them."""
