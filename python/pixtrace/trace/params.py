"""The numbers that steer fitting and oversampling, and a named set of them for each observing mode.

The named sets are in `pixtrace.trace.presets`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, get_args

from pixtrace.exceptions import ParameterError
from pixtrace.trace.modes import preset_for_mode
from pixtrace.trace.presets import PRESET_VALUES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

__all__ = [
    "PRESETS",
    "ColumnOrder",
    "ErrorKind",
    "FitOptions",
    "Method",
    "OversampleOptions",
    "ThresholdKind",
    "TraceParams",
    "preset_for_mode",
]

ThresholdKind: TypeAlias = Literal["peak_by_channel", "peak", "snr"]
Method: TypeAlias = Literal["reference", "robust"]
ErrorKind: TypeAlias = Literal["jwst", "propagated"]
ColumnOrder: TypeAlias = Literal["left_to_right", "right_to_left", "outside_in"]


class FitOptions(TypedDict):
    """Keyword arguments of `pixtrace.trace.fit_all_regions` that do not depend on the data."""

    lrange: int
    col_index: list[int]
    space_ratio: float
    sigma_low: float
    sigma_high: float
    fit_iter: int
    require_ngood: int | None
    spline_bkpt: int | None
    auto_ngood_factor: float
    auto_bkpt_factor: float


class OversampleOptions(TypedDict):
    """Keyword arguments of `pixtrace.trace.oversample_flux` that do not depend on the data."""

    require_ngood: int
    slope_limit: float
    psf_optimal: bool
    trim_ends: bool
    pad: int


@dataclass(frozen=True, kw_only=True)
class TraceParams:
    """How traces are fitted and used; checked on construction.

    Start from a preset and change what you need: ``TraceParams.preset("nirspec-ifu").replace(slope_limit=0.05)``.

    Attributes
    ----------
    method : {"reference", "robust"}, optional
        "reference": the fit and the residuals of jwst. "robust": weighted fits with knots and windows chosen by the
        data (`pixtrace.trace.fit_robust`), and of each residual that part which is more than noise; of the parameters
        below it looks at `slope_limit`, `psf_optimal`, `oversample_require_ngood`, `pad` and `trim_ends` alone.
    errors : {"jwst", "propagated"}, optional
        "jwst": errors interpolated and multiplied by an empirical factor. "propagated": variances propagated through
        the fit and the oversampling (`pixtrace.trace.oversample_with_errors`).
    n_covariances : int, optional
        With propagated errors, number of following rows with which the covariance is worked out too.
    fit_threshold : float, optional
        A region is fitted if its cross-dispersion profile rises above this many standard deviations, see `threshold`.
        Zero or less: every region is fitted.
    threshold : {"snr", "peak", "peak_by_channel"}, optional
        What the profile is compared with. "snr": its signal to noise with `fit_threshold`. "peak": its flux with the
        clipped mean plus `fit_threshold` clipped standard deviations of the flux in all regions. "peak_by_channel":
        the same for the regions whose numbers share their hundreds (MIRI MRS channels).
    slope_limit : float, optional
        Normalised slope from which a source counts as compact and the spline is used. Zero or less: it always is. With
        the method "robust" the share of the highest rise of the slice's mean profile above its level from which it is;
        the whole slice is searched.
    psf_optimal : bool, optional
        Use the spline alone, everywhere and without the residuals: `fit_threshold` and `slope_limit` count as 0. For
        isolated point sources.
    lrange : int, optional
        Half width of the window of columns that are fitted together [columns].
    column_order : {"left_to_right", "right_to_left", "outside_in"}, optional
        Order of the column fits, which matters where a failed fit falls back on the one before it. "outside_in":
        from the left edge to the middle, then from the right edge to the middle.
    spline_bkpt : int or None, optional
        Spline breakpoints across a slice; None: `auto_bkpt_factor` per native pixel, rounded down.
    auto_bkpt_factor : float, optional
        Breakpoints per native pixel where `spline_bkpt` is None.
    require_ngood : int or None, optional
        A column is fitted if it has more good pixels than this; None: `auto_ngood_factor` times the number of native
        pixels across the slice, rounded down.
    auto_ngood_factor : float, optional
        See `require_ngood`.
    space_ratio : float, optional
        Largest gap between neighbouring points of a window, in knot spacings, with which it is still fitted.
    sigma_low, sigma_high : float, optional
        Points farther than this many standard deviations below and above the spline are rejected.
    fit_iter : int, optional
        Number of fits, each after the first one without the points rejected until then.
    oversample_require_ngood : int, optional
        A column is oversampled if it has more good pixels than this; the others are NaN.
    pad : int, optional
        Native pixels on both sides of a compact source in which the spline is used.
    trim_ends : bool, optional
        Do not use the spline in the outermost pixels of a slice.

    Raises
    ------
    ParameterError
        A number is not finite or outside the range in which the method is defined, or a name is unknown.
    """

    method: Method = "reference"
    errors: ErrorKind = "jwst"
    n_covariances: int = 0
    fit_threshold: float = 10.0
    threshold: ThresholdKind = "snr"
    slope_limit: float = 0.1
    psf_optimal: bool = False
    lrange: int = 50
    column_order: ColumnOrder = "left_to_right"
    spline_bkpt: int | None = None
    auto_bkpt_factor: float = 2.0
    require_ngood: int | None = None
    auto_ngood_factor: float = 0.5
    space_ratio: float = 1.6
    sigma_low: float = 2.5
    sigma_high: float = 2.5
    fit_iter: int = 3
    oversample_require_ngood: int = 3
    pad: int = 2
    trim_ends: bool = False

    def __post_init__(self) -> None:
        """Check every value."""
        for name in ("fit_threshold", "slope_limit"):
            _check_number(name, getattr(self, name))
        for name in ("auto_bkpt_factor", "auto_ngood_factor", "space_ratio", "sigma_low", "sigma_high"):
            _check_number(name, getattr(self, name), above=0.0)
        for name, least in (
            ("n_covariances", 0),
            ("lrange", 1),
            ("fit_iter", 1),
            ("oversample_require_ngood", 0),
            ("pad", 0),
        ):
            _check_count(name, getattr(self, name), least)
        for name, least in (("spline_bkpt", 1), ("require_ngood", 0)):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name), least)
        for name in ("psf_optimal", "trim_ends"):
            if not isinstance(getattr(self, name), bool):
                msg = f"{name} = {getattr(self, name)!r}; it must be true or false"
                raise ParameterError(msg)
        for name, kind in (
            ("threshold", ThresholdKind),
            ("column_order", ColumnOrder),
            ("method", Method),
            ("errors", ErrorKind),
        ):
            choices = get_args(kind)
            if getattr(self, name) not in choices:
                msg = f"{name} = {getattr(self, name)!r}; it must be one of {', '.join(choices)}"
                raise ParameterError(msg)

    @classmethod
    def preset(cls, name: str) -> TraceParams:
        """Return the preset of that name.

        Parameters
        ----------
        name : str
            One of `PRESETS`.

        Returns
        -------
        TraceParams
            The parameters.

        Raises
        ------
        ParameterError
            There is no such preset; the message lists them.
        """
        try:
            return PRESETS[name]
        except KeyError:
            msg = f"there is no preset {name!r}; expected one of {', '.join(PRESETS)}"
            raise ParameterError(msg) from None

    @classmethod
    def robust(cls) -> TraceParams:
        """Return the preset "robust", which is for every mode: weighted fits of all slices, propagated errors.

        Returns
        -------
        TraceParams
            The parameters.
        """
        return PRESETS["robust"]

    @classmethod
    def for_mode(cls, exp_type: str, detector: str = "", grating: str = "") -> TraceParams:
        """Return the preset of a JWST observing mode.

        Parameters
        ----------
        exp_type, detector, grating : str
            See `preset_for_mode`.

        Returns
        -------
        TraceParams
            The parameters.

        Raises
        ------
        UnsupportedModeError
            There is no trace model for this mode.
        """
        return PRESETS[preset_for_mode(exp_type, detector, grating)]

    def replace(self, **changes: Any) -> Self:  # noqa: ANN401 - the constructor checks each value
        """Return a copy with some of the values changed.

        Parameters
        ----------
        **changes : object
            New values by name.

        Returns
        -------
        TraceParams
            The copy.

        Raises
        ------
        ParameterError
            A name is unknown, or a value is not possible.
        """
        known = [item.name for item in dataclasses.fields(self)]
        unknown = [name for name in changes if name not in known]
        if unknown:
            msg = f"there is no parameter {', '.join(map(repr, unknown))}; expected one of {', '.join(known)}"
            raise ParameterError(msg)
        return dataclasses.replace(self, **changes)

    @property
    def fits_every_region(self) -> bool:
        """Whether no threshold applies.

        Returns
        -------
        bool
            True with `psf_optimal` or a `fit_threshold` of zero or less.
        """
        return self.psf_optimal or self.fit_threshold <= 0

    @property
    def preset_name(self) -> str | None:
        """Name of the preset whose values these are.

        Returns
        -------
        str or None
            The first such name, None if there is none.
        """
        return next((name for name, params in PRESETS.items() if params == self), None)

    def columns(self, n_x: int) -> list[int]:
        """Return the column numbers in the order in which they are fitted.

        Parameters
        ----------
        n_x : int
            Number of columns.

        Returns
        -------
        list of int
            Every number from 0 to ``n_x - 1``.
        """
        if self.column_order == "left_to_right":
            return list(range(n_x))
        if self.column_order == "right_to_left":
            return list(range(n_x - 1, -1, -1))
        middle = n_x // 2
        return [*range(min(middle + 1, n_x)), *range(n_x - 1, middle, -1)]

    def fit_kwargs(self, n_x: int) -> FitOptions:
        """Return the keyword arguments of `fit_all_regions`, thresholds apart.

        Parameters
        ----------
        n_x : int
            Number of columns of the image.

        Returns
        -------
        FitOptions
            The arguments.
        """
        return {
            "lrange": self.lrange,
            "col_index": self.columns(n_x),
            "space_ratio": self.space_ratio,
            "sigma_low": self.sigma_low,
            "sigma_high": self.sigma_high,
            "fit_iter": self.fit_iter,
            "require_ngood": self.require_ngood,
            "spline_bkpt": self.spline_bkpt,
            "auto_ngood_factor": self.auto_ngood_factor,
            "auto_bkpt_factor": self.auto_bkpt_factor,
        }

    def oversample_kwargs(self) -> OversampleOptions:
        """Return the keyword arguments of `oversample_flux`.

        Returns
        -------
        OversampleOptions
            The arguments.
        """
        return {
            "require_ngood": self.oversample_require_ngood,
            "slope_limit": 0.0 if self.psf_optimal else self.slope_limit,
            "psf_optimal": self.psf_optimal,
            "trim_ends": self.trim_ends,
            "pad": self.pad,
        }


def _check_number(name: str, value: object, above: float | None = None) -> None:
    """Complain unless `value` is a finite number, and greater than `above` if that is given."""
    must_be = "a finite number" if above is None else f"a finite number greater than {above:g}"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        pass
    elif above is None or value > above:
        return
    msg = f"{name} = {value!r}; it must be {must_be}"
    raise ParameterError(msg)


def _check_count(name: str, value: object, least: int) -> None:
    """Complain unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        msg = f"{name} = {value!r}; it must be an integer of at least {least}"
        raise ParameterError(msg)


#: Every preset by name; `pixtrace.trace.presets` has the table.
PRESETS: Mapping[str, TraceParams] = MappingProxyType(
    {name: TraceParams(**values) for name, values in PRESET_VALUES.items()}
)
