from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "MapStack",
    "TraceModel",
    "__version__",
    "alpha_on_grid",
    "clean_timestreams",
    "compact_mask",
    "crossdisp_profile",
    "delta_sync_parms",
    "evaluate_spline",
    "fine_rows",
    "fit_all_regions",
    "fit_all_regions_recorded",
    "fit_joint",
    "fit_region",
    "fit_robust",
    "fit_spline",
    "fit_timestreams",
    "gaussian_flags",
    "linear_oversample",
    "nearest_rows",
    "oversample",
    "oversample_with_errors",
    "rescale",
    "sample_points",
    "trace_image",
    "trim_edges",
]

_Float64: TypeAlias = npt.NDArray[np.float64]
_Int64: TypeAlias = npt.NDArray[np.int64]
_Labels: TypeAlias = npt.NDArray[np.int32]
_Plane: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]
_Progress: TypeAlias = Callable[[int, int], object]
_Table: TypeAlias = tuple[_Int64, _Int64, _Float64, _Float64, _Int64, _Float64, _Float64]
_Planes: TypeAlias = list[npt.NDArray[np.floating[Any]]]
_Record: TypeAlias = tuple[
    bool,
    tuple[_Int64, _Int64, _Float64],
    tuple[_Int64, _Int64, _Int64, _Float64, _Float64],
    _Float64,
    list[_Float64],
    _Int64,
]

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

class _RobustArguments(TypedDict):
    half_windows: list[int]
    knots_per_pixel: list[float]
    clip_sigma: float

class _JointArguments(TypedDict):
    half_windows: list[int]
    knots_per_pixel: list[float]
    offsets: list[float] | None
    refine: bool
    grouping: str
    tolerance: float

@final
class TraceModel:
    @classmethod
    def from_tables(cls, tables: Mapping[int, _Table]) -> TraceModel: ...
    def labels(self) -> list[int]: ...
    def table(self, label: int) -> _Table: ...
    def with_records(self, records: Mapping[int, _Record]) -> TraceModel: ...
    def record(self, label: int) -> _Record | None: ...
    def covariance(self, label: int, spline: int, component: int) -> _Float64 | None: ...

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
def fit_all_regions_recorded(
    flux: _Plane,
    error: _Plane | None,
    alpha: _Float64,
    region_map: _Labels,
    *,
    variances: Sequence[_Plane],
    peak_threshold: Mapping[int, float] | None,
    snr_threshold: float | None,
    fit: _FitArguments,
    n_threads: int | None,
    progress: _Progress | None,
) -> TraceModel: ...
def fit_robust(
    flux: _Plane,
    error: _Plane | None,
    alpha: _Float64,
    region_map: _Labels,
    *,
    variances: Sequence[_Plane],
    fit: _RobustArguments,
    n_threads: int | None,
    progress: _Progress | None,
) -> TraceModel: ...
def fit_joint(
    exposures: Sequence[tuple[_Plane, _Plane | None, _Float64, _Labels, Sequence[_Plane]]],
    *,
    alone: _RobustArguments,
    joint: _JointArguments,
    n_threads: int | None,
    progress: _Progress | None,
) -> tuple[list[TraceModel], list[tuple[list[int], list[float], _Float64, int, dict[int, list[list[int]]]]]]: ...
def oversample_with_errors(
    model: TraceModel,
    flux: _Plane,
    error: _Plane | None,
    alpha: _Float64,
    region_map: _Labels,
    alpha_os: _Float64,
    *,
    variances: Sequence[_Plane],
    params: _OversampleArguments,
    significant: bool,
    n_covariances: int,
    single: bool,
    n_threads: int | None,
    progress: _Progress | None,
) -> tuple[_Planes, _Planes, _Planes]: ...
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
def rescale(
    model: TraceModel, flux: _Plane, alpha: _Float64, region_map: _Labels, *, n_threads: int | None
) -> TraceModel: ...
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

class _SampleArguments(TypedDict):
    frame_data: _Plane
    frame_gains: _Float64
    frame_weights: _Float64
    source_gains: _Float64
    channel_variance: _Float64
    valid_frames: npt.NDArray[np.bool_]
    map_indices: _Int64
    channel_indices: _Int64
    sample_flags: npt.NDArray[Any]
    exclude_sample_flag: int

class _SyncArguments(TypedDict):
    frame_valid: npt.NDArray[np.bool_]
    frame_gains: _Float64
    channel_indices: _Int64
    map_indices: _Int64
    source_gains: _Float64
    sync_gains: _Float64
    sample_blank_flag: int

class _GaussianArguments(TypedDict):
    shape: str
    fixed: tuple[float, float, float] | None
    beam_fwhm: float | None
    has_level: bool
    starts: list[tuple[float, float]] | None
    region: float | None
    sign: int
    significance: float
    round_significance: float
    n_evaluations: int

class _StreamArguments(TypedDict):
    frame_data: _Plane
    sample_flags: npt.NDArray[Any]
    exclude_sample_flag: int
    frame_gains: _Float64
    frame_weights: _Float64
    valid_frames: npt.NDArray[np.bool_]
    offsets: _Float64
    channel_indices: _Int64
    source_gains: _Float64
    channel_variance: _Float64
    starts: _Float64

class _CleaningArguments(TypedDict):
    drift_time: float
    source_time: float
    despike_level: float | None
    jump_level: float | None
    has_common_mode: bool
    has_group_modes: bool
    n_rounds: int
    noise_limits: tuple[float, float]
    blind_limit: float
    spike_limit: float
    spike: int
    jump: int
    blank: int
    bad: int

class _PeakArguments(TypedDict):
    method: str
    has_fit: bool
    degree: int
    reduce_degrees: bool
    significance: float
    beam_fwhm: float
    is_levelled: bool

@final
class MapStack:
    def __new__(
        cls,
        data: _Float64,
        weight: _Float64,
        exposure: _Float64,
        flag: npt.NDArray[np.uint8],
        resolution: tuple[float, float],
        reference_index: tuple[float, float],
    ) -> MapStack: ...
    @property
    def content(self) -> npt.NDArray[np.uint8]: ...
    def set_content(self, content: int, pixels: list[int]) -> None: ...
    def records(self, name: str) -> _Float64: ...
    def set_records(self, name: str, values: _Float64) -> None: ...
    def add_points(
        self, samples: _SampleArguments, dt: float, *, pixels: list[int] | None, n_threads: int | None
    ) -> tuple[int, int, int]: ...
    def frame_moments(self, samples: _SampleArguments, map_positions: _Float64) -> _Float64: ...
    def accumulate(
        self,
        data: _Float64,
        gains: _Float64,
        weights: _Float64,
        indices: _Int64,
        dt: float,
        *,
        pixels: list[int] | None,
        n_threads: int | None,
    ) -> tuple[int, int]: ...
    def combine(
        self, other: MapStack, pairs: list[tuple[int, int]], weight: float | None, *, n_threads: int | None
    ) -> None: ...
    def sync(
        self,
        frame_data: _Plane,
        sample_flags: npt.NDArray[Any],
        arguments: _SyncArguments,
        base: _Float64 | None,
        *,
        pixels: list[int] | None,
        n_threads: int | None,
    ) -> None: ...
    def end_accumulation(self, *, pixels: list[int] | None, n_threads: int | None) -> None: ...
    def count_valid(self, *, pixels: list[int] | None, n_threads: int | None) -> _Int64: ...
    def level(self, robust: bool, *, pixels: list[int] | None, n_threads: int | None) -> _Float64: ...
    def reweight(self, robust: bool, *, pixels: list[int] | None, n_threads: int | None) -> _Float64: ...
    def chi2(self, robust: bool, *, pixels: list[int] | None, n_threads: int | None) -> _Float64: ...
    def smooth_to(self, fwhm: float, *, pixels: list[int] | None, n_threads: int | None) -> _Float64: ...
    def despike(self, level: float, *, pixels: list[int] | None, n_threads: int | None) -> _Int64: ...
    def filter(
        self, fwhm: float, blank: float | None, fft: bool, *, pixels: list[int] | None, n_threads: int | None
    ) -> None: ...
    def correct_filtering(self, source: float, *, pixels: list[int] | None, n_threads: int | None) -> _Float64: ...
    def clip(self, by: str, limit: float, sign: int, *, pixels: list[int] | None, n_threads: int | None) -> _Int64: ...
    def mem_correct(self, lambda_: float, *, pixels: list[int] | None, n_threads: int | None) -> None: ...
    def update_mask(
        self, level: float | None, min_neighbors: int, sign: int, *, pixels: list[int] | None, n_threads: int | None
    ) -> _Int64: ...
    def fit_gaussians(
        self,
        arguments: _GaussianArguments,
        moment_planes: _Float64 | None,
        *,
        pixels: list[int] | None,
        n_threads: int | None,
        progress: _Progress | None,
    ) -> tuple[_Float64, _Float64, _Float64, _Int64]: ...
    def find_peaks(self, arguments: _PeakArguments, *, pixels: list[int] | None, n_threads: int | None) -> _Float64: ...

def sample_points(
    samples: _SampleArguments, *, n_threads: int | None
) -> tuple[int, _Float64, _Float64, _Float64, _Int64]: ...
def delta_sync_parms(
    channel_source_gains: _Float64,
    channel_indices: _Int64,
    channel_flags: _Int64,
    channel_variance: _Float64,
    frame_weight: _Float64,
    frame_source_gains: _Float64,
    frame_valid: npt.NDArray[np.bool_],
    frame_flags: _Int64,
    source_flag: int,
    n_points: float,
) -> tuple[_Float64, _Float64]: ...
def clean_timestreams(
    frame_data: _Plane,
    sample_flags: npt.NDArray[Any],
    channel_gains: _Float64,
    channel_groups: _Int64,
    valid_frames: npt.NDArray[np.bool_],
    dt: float,
    arguments: _CleaningArguments,
    *,
    n_threads: int | None,
    progress: _Progress | None,
) -> tuple[_Float64, _Float64, _Int64, _Float64, _Int64, _Int64]: ...
def fit_timestreams(
    samples: _StreamArguments,
    arguments: _GaussianArguments,
    *,
    n_threads: int | None,
    progress: _Progress | None,
) -> tuple[_Float64, _Float64, _Float64, _Int64]: ...
def gaussian_flags() -> list[tuple[int, str, str]]: ...
