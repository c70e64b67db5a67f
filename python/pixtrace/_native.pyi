from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "MapStack",
    "SampleMoments",
    "SeriesCombination",
    "SeriesGrid",
    "SeriesProfile",
    "TraceModel",
    "__version__",
    "alpha_on_grid",
    "clean_timestreams",
    "combine_slices",
    "compact_mask",
    "crossdisp_profile",
    "delta_sync_parms",
    "evaluate",
    "evaluate_spline",
    "evaluate_with_errors",
    "extract",
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
_Which: TypeAlias = tuple[list[int] | None, int | None]
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

class _ErrorArguments(TypedDict):
    significant: bool
    n_covariances: int
    adequacy: bool
    known_profile: bool

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

class _PointArguments(TypedDict):
    alpha: _Float64
    region: _Labels
    column: _Int64

class _ExtractArguments(TypedDict):
    source: tuple[float, float] | None
    is_density: bool
    reject_outliers: bool
    profile_errors: bool
    planes: bool

class _JointArguments(TypedDict):
    half_windows: list[int]
    knots_per_pixel: list[float]
    offsets: list[float] | None
    refine: bool
    grouping: str
    tolerance: float
    places: list[dict[int, tuple[int, int]]]

@final
class TraceModel:
    @classmethod
    def from_tables(cls, tables: Mapping[int, _Table]) -> TraceModel: ...
    def labels(self) -> list[int]: ...
    def table(self, label: int) -> _Table: ...
    def with_records(self, records: Mapping[int, _Record]) -> TraceModel: ...
    def record(self, label: int) -> _Record | None: ...
    def n_components(self, label: int) -> int | None: ...
    def covariance(self, label: int, spline: int, component: int) -> _Float64 | None: ...

def evaluate(model: TraceModel, points: _PointArguments, *, n_threads: int | None) -> _Float64: ...
def evaluate_with_errors(
    model: TraceModel,
    flux: _Plane,
    error: _Plane | None,
    alpha: _Float64,
    region_map: _Labels,
    points: _PointArguments,
    *,
    variances: Sequence[_Plane],
    n_threads: int | None,
) -> tuple[_Float64, list[_Float64]]: ...
def extract(
    model: TraceModel,
    flux: _Plane,
    error: _Plane | None,
    alpha: _Float64,
    region_map: _Labels,
    wavelength: _Float64 | None,
    *,
    params: _ExtractArguments,
    n_threads: int | None,
    progress: _Progress | None,
) -> tuple[dict[int, tuple[int, list[_Float64], list[npt.NDArray[np.uint32]]]], _Planes]: ...
def combine_slices(
    slices: Sequence[tuple[_Float64, _Float64, _Float64, _Float64]], half_window: int
) -> tuple[list[_Float64], list[bool]]: ...
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
    errors: _ErrorArguments,
    single: bool,
    n_threads: int | None,
    progress: _Progress | None,
) -> tuple[_Planes, _Planes, _Planes, _Planes]: ...
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
    model: TraceModel,
    flux: _Plane,
    error: _Plane | None,
    alpha: _Float64,
    region_map: _Labels,
    *,
    n_threads: int | None,
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
    corners: tuple[float, float] | None
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
class SampleMoments:
    def __new__(cls, n_maps: int, n_cells: int) -> SampleMoments: ...
    @staticmethod
    def from_parts(sums: _Float64, factors: _Float64, missed_at: _Int64, missed: _Float64) -> SampleMoments: ...
    def parts(self) -> tuple[_Float64, _Float64, _Int64, _Float64]: ...
    def merged(self, other: SampleMoments, pairs: list[tuple[int, int]], weight: float) -> SampleMoments: ...
    def selected(self, maps: list[int | None]) -> SampleMoments: ...
    @property
    def is_empty(self) -> bool: ...

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
    def settle(self) -> None: ...
    def hand_out(self) -> None: ...
    @property
    def is_handed_out(self) -> bool: ...
    @property
    def content(self) -> npt.NDArray[np.uint8]: ...
    def set_content(self, content: int, pixels: list[int]) -> None: ...
    def records(self, name: str) -> _Float64: ...
    def set_records(self, name: str, values: _Float64) -> None: ...
    def add_points(
        self, samples: _SampleArguments, dt: float, *, pixels: list[int] | None, n_threads: int | None
    ) -> tuple[int, int, int]: ...
    def sample_moments(
        self,
        samples: _SampleArguments,
        map_positions: _Float64,
        added: tuple[int, int, int],
        *,
        pixels: list[int] | None,
        n_threads: int | None,
    ) -> SampleMoments: ...
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
    def end_accumulation(self, which: _Which) -> None: ...
    def count_valid(self, which: _Which) -> _Int64: ...
    def level(self, robust: bool, which: _Which) -> _Float64: ...
    def reweight(self, robust: bool, which: _Which) -> _Float64: ...
    def chi2(self, robust: bool, which: _Which) -> _Float64: ...
    def smooth_to(self, fwhm: float, which: _Which) -> _Float64: ...
    def despike(self, level: float, which: _Which) -> _Int64: ...
    def correct_filtering(self, source: float, which: _Which) -> _Float64: ...
    def mem_correct(self, lambda_: float, which: _Which) -> None: ...
    def filter(self, fwhm: float, blank: float | None, fft: bool, which: _Which) -> None: ...
    def clip(self, by: str, limit: float, sign: int, which: _Which) -> _Int64: ...
    def update_mask(self, level: float | None, min_neighbors: int, sign: int, which: _Which) -> _Int64: ...
    def fit_gaussians(
        self,
        arguments: _GaussianArguments,
        moments: SampleMoments | None,
        *,
        pixels: list[int] | None,
        n_threads: int | None,
        progress: _Progress | None,
    ) -> tuple[_Float64, _Float64, _Float64, _Int64, _Float64]: ...
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
) -> tuple[_Float64, _Float64, _Float64, _Int64, _Float64]: ...
def gaussian_flags() -> list[tuple[int, str, str]]: ...

_Cube: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]
_Chunk: TypeAlias = tuple[_Cube, _Cube | None, list[_Cube]]
_GivenMean: TypeAlias = tuple[_Plane, _Plane | None, list[_Plane]]
_Mean: TypeAlias = tuple[_Float64, list[_Float64], _Float64, _Float64, npt.NDArray[np.uint32], npt.NDArray[np.uint32]]
_Scales: TypeAlias = tuple[
    int,
    tuple[int, int],
    _Float64,
    _Float64,
    _Float64,
    npt.NDArray[np.uint32],
    npt.NDArray[np.uint32],
    _Float64,
    _Float64,
]
_Fine: TypeAlias = tuple[_Planes, list[npt.NDArray[np.float32]], npt.NDArray[np.uint32], int, list[_Scales]]

class _GridArguments(TypedDict):
    significant: bool
    propagated: bool
    density: bool
    inflation: float

@final
class SeriesProfile:
    def __new__(
        cls,
        model: TraceModel,
        mean: _GivenMean,
        noise: _Float64,
        usual: _Float64,
        alpha: _Float64,
        region_map: _Labels,
        *,
        clip_sigma: float,
        significant: bool,
        n_threads: int | None,
    ) -> SeriesProfile: ...
    @staticmethod
    def first_look(
        sample: _Chunk, region_map: _Labels, *, clip_sigma: float, n_threads: int | None
    ) -> SeriesProfile: ...
    def fit(
        self,
        chunk: _Chunk,
        *,
        offset: float,
        max_shift: float | None,
        n_threads: int | None,
        progress: _Progress | None,
    ) -> list[_Scales]: ...

@final
class SeriesCombination:
    def __new__(cls, profile: SeriesProfile) -> SeriesCombination: ...
    def add(self, chunk: _Chunk, *, n_threads: int | None, progress: _Progress | None) -> None: ...
    def finish(self) -> _Mean: ...

@final
class SeriesGrid:
    def __new__(
        cls,
        profile: SeriesProfile,
        model: TraceModel,
        mean: _GivenMean,
        alpha: _Float64,
        region_map: _Labels,
        alpha_os: _Float64,
        variances: list[_Float64],
        *,
        params: _OversampleArguments,
        grid: _GridArguments,
        n_threads: int | None,
    ) -> SeriesGrid: ...
    def oversample(
        self,
        chunk: _Chunk,
        dq: npt.NDArray[np.uint32] | None,
        *,
        offset: float,
        max_shift: float | None,
        n_threads: int | None,
        progress: _Progress | None,
    ) -> _Fine: ...
