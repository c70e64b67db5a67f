"""Packages that come without types: `Any` to the type checkers, which would otherwise guess at their insides."""

from importlib import import_module
from typing import Any

asdf: Any = import_module("asdf")
bounding_box: Any = import_module("astropy.modeling.bounding_box")
cf: Any = import_module("gwcs.coordinate_frames")
coordinates: Any = import_module("astropy.coordinates")
datamodels: Any = import_module("stdatamodels.jwst.datamodels")
fits: Any = import_module("astropy.io.fits")
fits_support: Any = import_module("stdatamodels.fits_support")
gwcs: Any = import_module("gwcs")
h5py: Any = import_module("h5py")
models: Any = import_module("astropy.modeling.models")
modeling: Any = import_module("astropy.modeling")
selector: Any = import_module("gwcs.selector")
table: Any = import_module("astropy.table")
transforms: Any = import_module("stdatamodels.jwst.transforms.models")
units: Any = import_module("astropy.units")
