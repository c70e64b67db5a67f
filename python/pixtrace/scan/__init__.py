"""Pixel maps: one map of a known source for each detector pixel of a scanning camera, and where each pixel looks.

Two ways in: `MapStack` and its kin work on plain arrays; `PixelMap` takes scans through the whole job::

    scan = Scan.from_arrays(data, time, offset, channels, info=Info(Instrument(resolution=12.0)))
    maps = Reduction(scans=[scan]).make_maps()
    table = maps.get_pixel_table()

Positions and offsets are in arcsec, as quantities of astropy or plain numbers on the way in, as quantities on the way
out; maps are ``(n_y, n_x)``, timestreams ``(n_frames, n_channels)``, pairs ``(x, y)``.
"""

from pixtrace.scan.beam_map import BeamMap
from pixtrace.scan.channels import ChannelGroup, Channels
from pixtrace.scan.cleaning import Cleaned, CleaningParams, clean_timestreams
from pixtrace.scan.configuration import Configuration
from pixtrace.scan.fits import PixelFit, PixelFits
from pixtrace.scan.flags import ChannelFlag, FitFlag, FrameFlag, MapFlag, SampleFlag
from pixtrace.scan.frames import Frames
from pixtrace.scan.gaussian_fits import GaussianFits
from pixtrace.scan.info import Info, Instrument
from pixtrace.scan.integration import Dependents, Integration
from pixtrace.scan.intensity_map import IntensityMap
from pixtrace.scan.map_view import MapView
from pixtrace.scan.peak_sources import PeakSources
from pixtrace.scan.pixel_map import PixelMap
from pixtrace.scan.projection import MapGrid
from pixtrace.scan.reduction import Reduction
from pixtrace.scan.rounds import LoopState, RoundRecord
from pixtrace.scan.sample_moments import SampleMoments
from pixtrace.scan.samples import SamplePoints, get_delta_sync_parms, get_sample_points
from pixtrace.scan.scan import Scan
from pixtrace.scan.stack import MapStack
from pixtrace.scan.state import PixelMapState
from pixtrace.scan.tables import PixelTable, RcpTable
from pixtrace.scan.timestream_fit import fit_timestreams

__all__ = [
    "BeamMap",
    "ChannelFlag",
    "ChannelGroup",
    "Channels",
    "Cleaned",
    "CleaningParams",
    "Configuration",
    "Dependents",
    "FitFlag",
    "FrameFlag",
    "Frames",
    "GaussianFits",
    "Info",
    "Instrument",
    "Integration",
    "IntensityMap",
    "LoopState",
    "MapFlag",
    "MapGrid",
    "MapStack",
    "MapView",
    "PeakSources",
    "PixelFit",
    "PixelFits",
    "PixelMap",
    "PixelMapState",
    "PixelTable",
    "RcpTable",
    "Reduction",
    "RoundRecord",
    "SampleFlag",
    "SampleMoments",
    "SamplePoints",
    "Scan",
    "clean_timestreams",
    "fit_timestreams",
    "get_delta_sync_parms",
    "get_sample_points",
]
