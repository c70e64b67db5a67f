"""Files: the only room that opens one.

`oversample_file` goes from file to product in one call. `open_exposure` opens a JWST exposure (extra ``jwst``) or a
file of the plain format of `pixtrace.io.fits`. `inspect` says what is in a file; `collect_inputs` finds the
exposures in directories and associations; `save_models` and `load_models` keep trace models; `atomic_path` writes a
file so that it is there complete, or not at all.
"""

from pixtrace.io.atomic import atomic_path, check_output
from pixtrace.io.collect import collect_inputs
from pixtrace.io.dispatch import inspect, open_exposure
from pixtrace.io.exposure import Exposure, ExposureInfo, ImageInfo
from pixtrace.io.fits import FitsExposure
from pixtrace.io.fits_image import read_image, write_image
from pixtrace.io.joint import fit_exposures, matching
from pixtrace.io.models import StoredModel, load_models, save_models
from pixtrace.io.product import apply_models, fit_exposure, oversample_exposure, oversample_file
from pixtrace.io.spectra import write_spectra
from pixtrace.io.uses import extract_exposure, fit_for_use, replace_exposure, subtract_exposure

__all__ = [
    "Exposure",
    "ExposureInfo",
    "FitsExposure",
    "ImageInfo",
    "StoredModel",
    "apply_models",
    "atomic_path",
    "check_output",
    "collect_inputs",
    "extract_exposure",
    "fit_exposure",
    "fit_exposures",
    "fit_for_use",
    "inspect",
    "load_models",
    "matching",
    "open_exposure",
    "oversample_exposure",
    "oversample_file",
    "read_image",
    "replace_exposure",
    "save_models",
    "subtract_exposure",
    "write_image",
    "write_spectra",
]
