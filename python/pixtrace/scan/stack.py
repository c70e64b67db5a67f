"""A stack of maps, one for each detector pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixtrace._arrays import as_count, as_double, as_flag, as_real, check_callable
from pixtrace.exceptions import ParameterError, ShapeError
from pixtrace.scan._gates import as_rows, as_threads
from pixtrace.scan.gaussian_fits import GaussianFits, gaussian_arguments
from pixtrace.scan.peak_sources import PeakSources
from pixtrace.scan.stack_maps import StackMaps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from pixtrace._native import _PeakArguments as PeakArguments

__all__ = ["MapStack"]

_METHODS = ("peak", "position", "centroid")


class MapStack(StackMaps):
    """Maps of one source, one for each detector pixel, on a common grid.

    `data`, `weight`, `exposure` and `flag` are arrays of shape ``(n_pixels, n_y, n_x)``; they are the memory of the
    stack itself and may be written to. While samples are added they hold sums, after `end_accumulation` means;
    `content` tells which, so that nothing is divided twice. Weights, exposures and flags of samples that were added are
    brought up to date when they are first looked at; once one of these arrays has been taken from the stack, they are
    so at all times, and adding takes longer. Methods that work on each map take the numbers of some maps as `pixels`,
    the number of threads as `n_threads`, and come to the same result with any number of threads.

    Parameters
    ----------
    n_pixels : int
        Number of maps, 0 or more.
    shape : (int, int)
        Shape of a map, (n_y, n_x).
    resolution : float or (float, float)
        Size of a cell, x and y [arcsec].
    reference_index : float or (float, float)
        Map index (x, y) of the reference position; cells are centred on whole numbers.
    pixel_ids : array_like of int, shape (n_pixels,), optional
        Numbers by which the pixels are known; by default 0, 1, 2, ...

    Raises
    ------
    ParameterError
        If the grid or the numbers of pixels make no sense.
    MemoryLimitError
        If there is no memory for the planes: 25 bytes for each cell of each map, 8 more once there is a `base`.

    Examples
    --------
    >>> import numpy as np
    >>> stack = MapStack(2, (3, 4), resolution=2.0, reference_index=(1.5, 1.0))
    >>> signal, ones, cells = np.array([[1.0, 5.0], [3.0, 7.0]]), np.ones(2), np.array([[[2], [2]], [[1], [1]]])
    >>> stack.add_points(signal, ones, ones, ones, ones, ones == 1, cells, [0, 1], np.zeros((2, 2), np.uint8), 255, 0.1)
    2
    >>> stack.end_accumulation()
    >>> stack.data[:, 1, 2].tolist(), stack.exposure[:, 1, 2].tolist()
    ([2.0, 6.0], [0.2, 0.2])
    """

    def __init__(
        self,
        n_pixels: int,
        shape: tuple[int, int],
        *,
        resolution: float | Sequence[float],
        reference_index: float | Sequence[float],
        pixel_ids: npt.ArrayLike | None = None,
    ) -> None:
        super().__init__(n_pixels, shape, resolution=resolution, reference_index=reference_index, pixel_ids=pixel_ids)

    def fit_gaussians(
        self,
        *,
        pixels: npt.ArrayLike | None = None,
        shape: str = "elliptical",
        fixed: Sequence[float] | None = None,
        beam_fwhm: float | None = None,
        has_level: bool = True,
        starts: npt.ArrayLike | None = None,
        region: float | None = None,
        sign: str | int = "+",
        significance: float = 5.0,
        round_significance: float = 3.5,
        n_evaluations: int = 100,
        n_threads: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> GaussianFits:
        """Fit an elliptical Gaussian on a level to each map, by weighted least squares.

        Every valid cell counts with its weight; holes are left out. Where `sample_moments` are known, the model is
        evaluated at the mean position of the samples of each cell of each map and corrected for their scatter. Binning
        then costs next to nothing: 3 to 4 per cent of the error for cells of a quarter of the beam, because a mean does
        not tell how the samples of a cell differ. Maps that hold sums are fitted as the means that they stand for. Maps
        stay as they are.

        Parameters
        ----------
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        shape : {"elliptical", "round", "fixed"}, optional
            Whether two widths and an angle are fitted, one width, or none.
        fixed : (float, float, float), optional
            For a fixed shape: FWHM along the major and the minor axis [arcsec], angle of the major axis [degree].
        beam_fwhm : float, optional
            FWHM to begin with [arcsec]; by default five cells.
        has_level : bool, optional
            Whether a level is fitted; it is zero otherwise.
        starts : array_like, shape (n, 2), optional
            Positions to begin with [arcsec], NaN where the most significant spot is to be looked for.
        region : float, optional
            Cells farther from the start than this many `beam_fwhm` are left out; by default the whole map is fitted.
        sign : {"+", "-", "0"} or {1, -1, 0}, optional
            Whether the source is positive, negative, or either.
        significance : float, optional
            An amplitude below this many of its errors is flagged.
        round_significance : float, optional
            An ellipse that is not this many standard deviations from round is reported as a round beam, with its angle
            undefined; 0: never.
        n_evaluations : int, optional
            The fit is given up after this many evaluations of the model.
        n_threads : int, optional
            Number of threads.
        progress : callable, optional
            Called now and then as ``progress(maps_done, maps_in_all)``.

        Returns
        -------
        GaussianFits
            One fit for each map.

        Raises
        ------
        ParameterError
            If a parameter makes no sense. That a map cannot be fitted is no error: its flags say why.
        """
        arguments = gaussian_arguments(
            shape=shape,
            fixed=fixed,
            has_level=has_level,
            sign=sign,
            significance=significance,
            round_significance=round_significance,
            n_evaluations=n_evaluations,
            beam_fwhm=beam_fwhm,
            starts=_as_starts(starts),
            region=region,
        )
        check_callable(progress, "progress")
        rows = as_rows(pixels, self.n_pixels)
        moments = None if self._moments.is_empty else self._moments
        found = self._native.fit_gaussians(
            arguments, moments, pixels=rows, n_threads=as_threads(n_threads), progress=progress
        )
        return GaussianFits.of_core(found)

    def find_peaks(
        self,
        *,
        pixels: npt.ArrayLike | None = None,
        method: str = "peak",
        has_fit: bool = True,
        degree: int = 3,
        reduce_degrees: bool = True,
        significance: float = 5.0,
        beam_fwhm: float = 0.0,
        is_levelled: bool = True,
        n_threads: int | None = None,
    ) -> PeakSources:
        """Find the peak of each map by the methods of the reference.

        They are there for comparison. `fit_gaussians` counts each cell by its weight, leaves holes out, fits a level,
        and reports errors. Maps stay as they are.

        Parameters
        ----------
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        method : {"peak", "position", "centroid"}, optional
            Start from the cell of highest S/N, refined by a parabola along each axis, or from the mean position of all
            valid cells weighted with their S/N.
        has_fit : bool, optional
            Whether a round Gaussian is fitted from there; otherwise, and where that fails, the width comes from a
            circle that grows until the S/N inside hardly rises.
        degree : int, optional
            Degree of the spline surface that tells values between the cells, 0 to 5.
        reduce_degrees : bool, optional
            Whether a lower degree is taken where there are few cells.
        significance : float, optional
            A peak of lower S/N is not reported.
        beam_fwhm : float, optional
            FWHM of the beam of the instrument [arcsec]; 0 if it is not known.
        is_levelled : bool, optional
            Whether the weighted median of the map is taken off first, as `level` does.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        PeakSources
            One peak for each map, NaN where there is none.

        Raises
        ------
        ParameterError
            If a parameter makes no sense.
        DataError
            If there are too few cells around a peak for the degree, and it may not be reduced.
        """
        if method not in _METHODS:
            msg = f"`method` = {method!r}; it must be one of {', '.join(_METHODS)}"
            raise ParameterError(msg)
        arguments: PeakArguments = {
            "method": method,
            "has_fit": as_flag(has_fit, "has_fit"),
            "degree": as_count(degree, "degree"),
            "reduce_degrees": as_flag(reduce_degrees, "reduce_degrees"),
            "significance": as_real(significance, "significance"),
            "beam_fwhm": as_real(beam_fwhm, "beam_fwhm"),
            "is_levelled": as_flag(is_levelled, "is_levelled"),
        }
        rows = self._native.find_peaks(
            arguments, pixels=as_rows(pixels, self.n_pixels), n_threads=as_threads(n_threads)
        )
        return PeakSources(rows[:, :2], rows[:, 2:4], *rows[:, 4:].T)


def _as_starts(starts: npt.ArrayLike | None) -> list[tuple[float, float]] | None:
    if starts is None:
        return None
    places = as_double(starts, "starts")
    if places.shape[1] != 2:  # noqa: PLR2004
        msg = f"`starts` has shape {places.shape}; expected (n, 2)"
        raise ShapeError(msg)
    return [(float(x), float(y)) for x, y in places]
