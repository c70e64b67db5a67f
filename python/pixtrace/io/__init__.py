"""Files: the only room that opens one.

`open_exposure` opens a JWST datamodel (extra ``jwst``) or a file of the plain format of `pixtrace.io.fits`;
`inspect` says what is in a file; `collect_inputs` finds the exposures in directories and associations; `atomic_path`
writes a file so that it is there complete, or not at all.
"""

from pixtrace.io.atomic import atomic_path, check_output
from pixtrace.io.collect import collect_inputs
from pixtrace.io.dispatch import inspect, open_exposure
from pixtrace.io.exposure import Exposure, ExposureInfo, ImageInfo
from pixtrace.io.fits import FitsExposure, read_image, write_image

__all__ = [
    "Exposure",
    "ExposureInfo",
    "FitsExposure",
    "ImageInfo",
    "atomic_path",
    "check_output",
    "collect_inputs",
    "inspect",
    "open_exposure",
    "read_image",
    "write_image",
]
