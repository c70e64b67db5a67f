from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "TraceModel",
    "__version__",
    "alpha_on_grid",
    "compact_mask",
    "crossdisp_profile",
    "evaluate_spline",
    "fine_rows",
    "fit_all_regions",
    "fit_region",
    "fit_spline",
    "linear_oversample",
    "nearest_rows",
    "oversample",
    "trace_image",
    "trim_edges",
]

_Float64: TypeAlias = npt.NDArray[np.float64]
_Int64: TypeAlias = npt.NDArray[np.int64]
_Labels: TypeAlias = npt.NDArray[np.int32]
_Plane: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]
_Progress: TypeAlias = Callable[[int, int], object]
_Table: TypeAlias = tuple[_Int64, _Int64, _Float64, _Float64, _Int64, _Float64, _Float64]

__version__: str

class _FitArguments(TypedDict):
    lrange: int
    col_index: Sequence[int] | None
    space_ratio: float
    sigma_low: float
    sigma_high: float
    fit_iter: int
    require_ngood: int | None
    spline_bkpt: int | None
    auto_ngood_factor: float
    auto_bkpt_factor: float

class _OversampleArguments(TypedDict):
    oversample_factor: float
    require_ngood: int
    slope_limit: float
    psf_optimal: bool
    trim_ends: bool
    pad: float
    flipped: bool
    trace_used: bool
    full_trace: bool
    linear_flux: bool
    residual_flux: bool

@final
class TraceModel:
    @classmethod
    def from_tables(cls, tables: Mapping[int, _Table]) -> TraceModel: ...
    def labels(self) -> list[int]: ...
    def table(self, label: int) -> _Table: ...

def fit_all_regions(
    flux: _Plane,
    error: _Plane | None,
    alpha: _Float64,
    region_map: _Labels,
    *,
    peak_threshold: Mapping[int, float] | None,
    snr_threshold: float | None,
    fit: _FitArguments,
    n_threads: int | None,
    progress: _Progress | None,
) -> TraceModel: ...
def fit_region(
    flux: _Plane,
    alpha: _Float64,
    fit_scale: _Float64 | None,
    *,
    fit: _FitArguments,
    n_threads: int | None,
    progress: _Progress | None,
) -> TraceModel: ...
def oversample(
    model: TraceModel,
    flux: _Plane,
    alpha: _Float64,
    region_map: _Labels,
    alpha_os: _Float64,
    *,
    params: _OversampleArguments,
    single: bool,
    n_threads: int | None,
    progress: _Progress | None,
) -> list[npt.NDArray[np.floating[Any]]]: ...
def linear_oversample(
    data: _Plane,
    region_map: _Labels,
    factor: float,
    require_ngood: int,
    *,
    edge_limit: int,
    preserve_nan: bool,
    flipped: bool,
    n_threads: int | None,
) -> npt.NDArray[np.float32]: ...
def trace_image(
    model: TraceModel,
    region_map: _Labels,
    alpha: _Float64,
    *,
    slope_limit: float,
    pad: float,
    single: bool,
    n_threads: int | None,
) -> list[npt.NDArray[np.floating[Any]]]: ...
def evaluate_spline(t: npt.ArrayLike, c: npt.ArrayLike, x: _Float64) -> _Float64: ...
def fit_spline(
    x: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    y: _Float64,
    n_intervals: int,
    *,
    sigma_low: float,
    sigma_high: float,
    n_rounds: int,
    space_ratio: float,
) -> tuple[_Float64, _Float64] | None: ...
def fine_rows(n_rows: int, factor: float, *, flipped: bool) -> _Float64: ...
def nearest_rows(n_rows: int, factor: float, *, flipped: bool) -> _Int64: ...
def alpha_on_grid(
    alpha: _Float64, region_map: _Labels, factor: float, *, flipped: bool, n_threads: int | None
) -> _Float64: ...
def compact_mask(
    alpha: _Plane, points: _Float64, native_dalpha: float, n_bins: int, pad: float
) -> npt.NDArray[np.bool_]: ...
def crossdisp_profile(
    flux: _Plane, error: _Plane, alpha: _Float64
) -> tuple[_Float64, _Float64, _Float64, _Float64] | None: ...
def trim_edges(flux: _Plane, error: _Plane, alpha: _Float64) -> npt.NDArray[np.bool_]: ...
