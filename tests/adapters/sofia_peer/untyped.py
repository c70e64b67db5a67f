"""sofia_redux, which comes without types and is not there where they are checked: `Any` to the type checkers."""

from importlib import import_module
from typing import Any

pixel_map: Any = import_module("sofia_redux.scan.source_models.pixel_map")
camera_info: Any = import_module("sofia_redux.scan.info.camera.info")
astro_intensity_map: Any = import_module("sofia_redux.scan.source_models.astro_intensity_map")
example_info: Any = import_module("sofia_redux.scan.custom.example.info.info")
Camera: Any = import_module("sofia_redux.scan.channels.camera.camera").Camera
get_sample_points: Any = import_module("sofia_redux.scan.source_models.source_numba_functions").get_sample_points
Observation2D: Any = import_module("sofia_redux.scan.source_models.maps.observation_2d").Observation2D
Reduction: Any = import_module("sofia_redux.scan.reduction.reduction").Reduction
units: Any = import_module("astropy.units")
cloudpickle: Any = import_module("cloudpickle")  # what the pipeline of sofia_redux writes models with
log: Any = import_module("astropy").log
Table: Any = import_module("astropy.table").Table
