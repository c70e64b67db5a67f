"""Gaussians fitted to maps or to samples, and what a fit is told."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from pixtrace._arrays import as_count, as_flag, as_real
from pixtrace.exceptions import ParameterError
from pixtrace.scan._gates import as_pair, as_sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixtrace._native import _GaussianArguments as GaussianArguments

__all__ = ["PARAMETERS", "GaussianFits", "gaussian_arguments"]

_Float64: TypeAlias = npt.NDArray[np.float64]
CoreFits: TypeAlias = tuple[_Float64, _Float64, _Float64, npt.NDArray[np.int64], _Float64]

_SHAPES: Final = ("elliptical", "round", "fixed")
_N_FIXED: Final = 3

#: The parameters in the order of `GaussianFits.covariance`.
PARAMETERS: Final = ("x", "y", "amplitude", "fwhm_major", "fwhm_minor", "angle", "level")


@dataclass(frozen=True, repr=False)
class GaussianFits:
    """An elliptical Gaussian on a level for each map; all numbers of a fit that failed are NaN.

    Covariances follow from the weights of the cells as they are; they are not scaled by chi2.
    """

    position: npt.NDArray[np.float64]
    """Centre (x, y), an offset from the reference position [arcsec], shape (n, 2)."""
    amplitude: npt.NDArray[np.float64]
    """Height above the level [unit of the data], shape (n,)."""
    fwhm: npt.NDArray[np.float64]
    """FWHM along the major and the minor axis [arcsec], shape (n, 2)."""
    angle: npt.NDArray[np.float64]
    """Angle of the major axis, from x towards y [degree], in (-90, 90], shape (n,); zero for a round beam."""
    level: npt.NDArray[np.float64]
    """Level [unit of the data], shape (n,)."""
    covariance: npt.NDArray[np.float64]
    """Covariance of x, y, amplitude, both FWHM, angle, level, shape (n, 7, 7); infinite for the angle if round."""
    scatter: npt.NDArray[np.float64]
    """Variances of the seven as the residuals have them, over those in `covariance`, shape (n, 7); NaN if not known.

    Only fits to samples know it, where the source was passed at least a dozen times: from how residuals differ from
    passage to passage, which tells of noise that is correlated. One is good to some ten per cent; the mean over many
    pixels is what errors are to be scaled with.
    """
    chi2: npt.NDArray[np.float64]
    """Sum of the weighted squares of the residuals, shape (n,)."""
    n_cells: npt.NDArray[np.int64]
    """Number of cells that were fitted, shape (n,)."""
    degrees_of_freedom: npt.NDArray[np.int64]
    """Number of cells less number of fitted parameters, shape (n,)."""
    n_evaluations: npt.NDArray[np.int64]
    """How often the model was evaluated, shape (n,)."""
    flags: npt.NDArray[np.int64]
    """Why a fit failed or is doubtful, bits of `FitFlag`, shape (n,)."""
    _errors: npt.NDArray[np.float64] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        diagonal = np.diagonal(self.covariance, axis1=1, axis2=2)
        object.__setattr__(self, "_errors", np.sqrt(diagonal))

    def __len__(self) -> int:
        return self.amplitude.size

    def __repr__(self) -> str:
        n_failed = int(np.isnan(self.amplitude).sum())
        return f"<{type(self).__name__}: {len(self)} fits, {n_failed} of them failed>"

    def error(self, parameter: str) -> npt.NDArray[np.float64]:
        """Return the standard deviation of a parameter.

        Parameters
        ----------
        parameter : str
            One of "x", "y", "amplitude", "fwhm_major", "fwhm_minor", "angle", "level".

        Returns
        -------
        ndarray of float64, shape (n,)
            In the unit of the parameter.

        Raises
        ------
        ParameterError
            If there is no such parameter.
        """
        if parameter not in PARAMETERS:
            msg = f"`parameter` = {parameter!r}; it must be one of {', '.join(PARAMETERS)}"
            raise ParameterError(msg)
        return self._errors[:, PARAMETERS.index(parameter)]

    @classmethod
    def of_core(cls, found: CoreFits) -> Self:
        """Return fits by their names.

        Parameters
        ----------
        found : tuple of ndarray
            As the core returns them: parameters, covariances, chi2, counts with the flags, scatter.

        Returns
        -------
        GaussianFits
            The same arrays.
        """
        values, covariance, chi2, counts, scatter = found
        return cls(
            position=values[:, :2],
            amplitude=values[:, 2],
            fwhm=values[:, 3:5],
            angle=values[:, 5],
            level=values[:, 6],
            covariance=covariance,
            scatter=scatter,
            chi2=chi2,
            n_cells=counts[:, 0],
            degrees_of_freedom=counts[:, 1],
            n_evaluations=counts[:, 2],
            flags=counts[:, 3],
        )

    @property
    def significance(self) -> npt.NDArray[np.float64]:
        """Amplitude over its error, shape (n,)."""
        return self.amplitude / self.error("amplitude")

    def __getitem__(self, chosen: slice | npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> GaussianFits:
        """Return some of the fits."""
        return GaussianFits(**{f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.init})


def gaussian_arguments(
    *,
    shape: str,
    fixed: Sequence[float] | None,
    has_level: bool,
    sign: str | int,
    significance: float,
    round_significance: float,
    n_evaluations: int,
    beam_fwhm: float | None = None,
    starts: list[tuple[float, float]] | None = None,
    region: float | None = None,
) -> GaussianArguments:
    """Return what a fit is told, checked, as the extension takes it; for the meanings see `MapStack.fit_gaussians`.

    Raises
    ------
    ParameterError
        If a parameter makes no sense.
    """
    if shape not in _SHAPES:
        msg = f"`shape` = {shape!r}; it must be one of {', '.join(_SHAPES)}"
        raise ParameterError(msg)
    if (shape == "fixed") != (fixed is not None):
        msg = "`fixed` gives both widths and the angle of a fixed shape; it goes with shape='fixed', and no other"
        raise ParameterError(msg)
    if fixed is not None and (np.ndim(fixed) != 1 or len(fixed) != _N_FIXED):
        msg = f"`fixed` = {fixed!r}; it must be (FWHM major, FWHM minor, angle)"
        raise ParameterError(msg)
    return {
        "shape": shape,
        "fixed": None if fixed is None else (*as_pair(fixed[:2], "fixed"), as_real(fixed[2], "fixed")),
        "beam_fwhm": None if beam_fwhm is None else as_real(beam_fwhm, "beam_fwhm"),
        "has_level": as_flag(has_level, "has_level"),
        "starts": starts,
        "region": None if region is None else as_real(region, "region"),
        "sign": as_sign(sign),
        "significance": as_real(significance, "significance"),
        "round_significance": as_real(round_significance, "round_significance"),
        "n_evaluations": as_count(n_evaluations, "n_evaluations", least=1),
    }
