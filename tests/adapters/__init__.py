"""Objects of other packages and ours."""
