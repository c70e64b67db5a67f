"""Pixel maps: one map of a known source for each detector pixel of a scanning camera, and where each pixel looks."""

from pixtrace.scan.gaussian_fits import GaussianFits
from pixtrace.scan.samples import SamplePoints, get_delta_sync_parms, get_sample_points
from pixtrace.scan.stack import MapStack

__all__ = ["GaussianFits", "MapStack", "SamplePoints", "get_delta_sync_parms", "get_sample_points"]
