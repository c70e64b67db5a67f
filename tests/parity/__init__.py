"""Agreement with jwst 3.0.0 on every file of the reference data."""
