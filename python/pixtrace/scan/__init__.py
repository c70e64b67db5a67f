"""Pixel maps: one map of a known source from every detector pixel of a scanning camera."""
