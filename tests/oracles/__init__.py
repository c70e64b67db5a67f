"""Slow, readable definitions that the fast paths must equal; nothing here uses pixtrace."""
