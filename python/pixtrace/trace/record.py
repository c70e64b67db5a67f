"""What a fit has recorded of itself: where each spline comes from, how good it is, and how uncertain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pixtrace._arrays import as_count
from pixtrace.exceptions import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pixtrace import _native

__all__ = ["ABSENCES", "ORIGINS", "RecordTable", "RegionRecord"]

#: Where the spline of a column comes from: a fit of its own; one with fewer knots after the first had failed; another
#: column's; or a fit of its own that bridges gaps in the data by its smoothness.
ORIGINS = ("fitted", "retried", "reused", "extrapolated")
#: Why a column has no trace.
ABSENCES = ("too few good pixels", "no fit, and none to take over")

#: Standard deviations that the chi2 of an adequate fit may be above 1.
_ADEQUATE = 3.0

RecordTable: TypeAlias = tuple[
    bool, tuple[Any, Any, Any], tuple[Any, Any, Any, Any, Any], "npt.NDArray[np.float64]", list[Any], Any
]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RegionRecord:
    """The record of the fits of one region; of arrays, element i belongs to column ``columns[i]``.

    Attributes
    ----------
    is_weighted : bool
        Whether points had the inverse of their variance as their weight.
    columns : ndarray of int
        Columns that have a trace.
    origin : ndarray of str
        Where the spline comes from, one of `ORIGINS`.
    fitted_for : ndarray of int
        The column that the spline was fitted for: another one if it is reused.
    n_points : ndarray of int
        Points that the spline was fitted to.
    n_rejected : ndarray of int
        Points of the window that were rejected.
    chi2 : ndarray of float
        Sum of the squared residuals in units of their errors, per degree of freedom; NaN for a model that was scaled to
        another exposure (`TraceModel.rescaled`), whose pixels it has not been fitted to.
    absent : mapping of int to str
        Columns of the region that have no trace, and why: one of `ABSENCES`.
    """

    is_weighted: bool
    columns: npt.NDArray[np.int64]
    origin: npt.NDArray[np.str_]
    fitted_for: npt.NDArray[np.int64]
    n_points: npt.NDArray[np.int64]
    n_rejected: npt.NDArray[np.int64]
    chi2: npt.NDArray[np.float64]
    absent: Mapping[int, str]
    _core: _native.TraceModel
    _label: int
    _spline: npt.NDArray[np.int64]

    @classmethod
    def of(cls, native: _native.TraceModel, label: int) -> RegionRecord | None:
        """Return the record of a region of a model, None if it has none.

        Parameters
        ----------
        native : pixtrace._native.TraceModel
            The core's model.
        label : int
            The region.

        Returns
        -------
        RegionRecord or None
            The record.
        """
        table = native.record(label)
        if table is None:
            return None
        is_weighted, (origin, fitted_for, _), (_, n_points, n_rejected, chi2, _), _, _, absent = table
        columns, spline = native.table(label)[:2]
        return cls(
            is_weighted=is_weighted,
            columns=columns,
            origin=np.array(ORIGINS)[origin],
            fitted_for=fitted_for,
            n_points=n_points[spline],
            n_rejected=n_rejected[spline],
            chi2=chi2[spline],
            absent={int(column): ABSENCES[why] for column, why in absent},
            _core=native,
            _label=label,
            _spline=spline,
        )

    @property
    def is_adequate(self) -> npt.NDArray[np.bool_]:
        """Whether the fit of each column leaves no more than noise, as far as its pixels can tell.

        That is a `chi2` no more than three standard deviations, each the square root of 2 / `n_points`, above 1. Where
        it is not, the profile changes faster than the window follows, or errors are too small, and the errors of the
        model are too small too. It does not see a misfit of a few bright pixels, nor one that is small beside the noise
        of a pixel: `pixtrace.trace.oversample_with_errors` tells for every fine pixel whether the model is adequate.
        """
        with np.errstate(divide="ignore"):
            limit = 1.0 + _ADEQUATE * np.sqrt(2.0 / self.n_points)
        found: npt.NDArray[np.bool_] = self.chi2 <= limit
        return found

    def covariance(self, column: int, component: int = 0) -> npt.NDArray[np.float64]:
        """Return the covariance of the coefficients of a column's spline.

        Parameters
        ----------
        column : int
            A column that has a trace.
        component : int, optional
            0: that which comes from the error of the flux. 1, 2, ...: from the variances given to the fit, in order.

        Returns
        -------
        ndarray of float64, shape (n, n)
            In units of the normalised profile, that is of ``trace[column].model``.

        Raises
        ------
        ParameterError
            There is no such column or component, or the points do not determine the coefficients.
        """
        found = np.flatnonzero(self.columns == column)
        if found.size == 0:
            msg = f"column {column} of region {self._label} has no trace"
            raise ParameterError(msg)
        number = as_count(component, "component")
        covariance = self._core.covariance(self._label, int(self._spline[found[-1]]), number)
        if covariance is None:
            msg = f"`component` = {component}: no such variance was given to the fit, or the fit is singular"
            raise ParameterError(msg)
        return covariance

    def __repr__(self) -> str:
        counts = ", ".join(f"{np.count_nonzero(self.origin == name)} {name}" for name in ORIGINS)
        return f"<RegionRecord: {counts}, {len(self.absent)} absent; median chi2 {np.median(self.chi2):.3g}>"
