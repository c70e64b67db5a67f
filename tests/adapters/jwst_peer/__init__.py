"""Tests that need the package jwst: run by `tests.adapters.peers`, in an environment of their own."""
