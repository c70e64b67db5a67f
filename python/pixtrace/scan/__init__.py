"""Pixel maps: one map of a known source for each detector pixel of a scanning camera, and where each pixel looks."""

from pixtrace.scan.channels import ChannelGroup, Channels
from pixtrace.scan.configuration import Configuration
from pixtrace.scan.flags import ChannelFlag, FrameFlag, MapFlag, SampleFlag
from pixtrace.scan.frames import Frames
from pixtrace.scan.info import Info, Instrument
from pixtrace.scan.integration import Dependents, Integration
from pixtrace.scan.scan import Scan

__all__ = [
    "ChannelFlag",
    "ChannelGroup",
    "Channels",
    "Configuration",
    "Dependents",
    "FrameFlag",
    "Frames",
    "Info",
    "Instrument",
    "Integration",
    "MapFlag",
    "SampleFlag",
    "Scan",
]
