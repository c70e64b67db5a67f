"""A stack of maps, one for each detector pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pixtrace._arrays import as_count, as_flag, as_real, check_callable
from pixtrace.exceptions import ParameterError
from pixtrace.scan._gates import as_rows, as_sign
from pixtrace.scan.gaussian_fits import GaussianFits
from pixtrace.scan.peak_sources import PeakSources
from pixtrace.scan.stack_samples import StackSamples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pixtrace._native import _GaussianArguments as GaussianArguments
    from pixtrace._native import _PeakArguments as PeakArguments

__all__ = ["MapStack"]

_METHODS = ("peak", "position", "centroid")
_SHAPES = ("elliptical", "round", "fixed")
_FILTERS = ("convolution", "fft")


class MapStack(StackSamples):
    """Maps of one source, one for each detector pixel, on a common grid.

    `data`, `weight`, `exposure` and `flag` are arrays of shape ``(n_pixels, n_y, n_x)``; they are the memory of the stack
    itself and may be written to. While samples are added they hold sums, after `end_accumulation` means; `content` tells
    which, so that nothing is divided twice. Methods that work on each map take the numbers of some maps as `pixels`, the
    number of threads as `n_threads`, and come to the same result with any number of threads.

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

    def end_accumulation(self, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None) -> None:
        """Turn sums into means: data are divided by weight, and become 0 where the weight is 0.

        Maps that hold means already stay as they are.

        Parameters
        ----------
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.
        """
        self._native.end_accumulation(pixels=as_rows(pixels, self.n_pixels), n_threads=n_threads)

    @property
    def n_valid(self) -> npt.NDArray[np.int64]:
        """Number of valid cells of each map, shape (n_pixels,)."""
        return self._native.count_valid(pixels=None, n_threads=None)

    def count_points(self, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None) -> int:
        """Return the number of valid cells of all maps together.

        Parameters
        ----------
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        int
            The number.
        """
        return int(self._native.count_valid(pixels=as_rows(pixels, self.n_pixels), n_threads=n_threads).sum())

    def level(
        self, robust: bool = True, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Subtract from the valid cells of each map their weighted median, or mean.

        Parameters
        ----------
        robust : bool, optional
            Whether the median is taken, as the reference defines it, or the mean.
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        ndarray of float64, shape (n_pixels,)
            What was subtracted; NaN for a map without valid cells, which stays as it is.

        Raises
        ------
        DataError
            If a map holds sums.
        """
        rows = as_rows(pixels, self.n_pixels)
        return self._native.level(as_flag(robust, "robust"), pixels=rows, n_threads=n_threads)

    def chi2(
        self, robust: bool = True, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Return the reduced chi2 of each map about zero.

        Parameters
        ----------
        robust : bool, optional
            Whether it is the median of ``data^2 weight`` over 0.454937, that of one degree of freedom, or the mean.
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        ndarray of float64, shape (n_pixels,)
            NaN for a map without valid cells.

        Raises
        ------
        DataError
            If a map holds sums.
        """
        rows = as_rows(pixels, self.n_pixels)
        return self._native.chi2(as_flag(robust, "robust"), pixels=rows, n_threads=n_threads)

    def reweight(
        self, robust: bool = True, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Divide the weights of each map by its `chi2`, so that they say what the scatter of its cells shows.

        Parameters
        ----------
        robust : bool, optional
            As for `chi2`.
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        ndarray of float64, shape (n_pixels,)
            What the weights were divided by; 1 for a map without valid cells, or whose chi2 is 0 or infinite.

        Raises
        ------
        DataError
            If a map holds sums.
        """
        rows = as_rows(pixels, self.n_pixels)
        return self._native.reweight(as_flag(robust, "robust"), pixels=rows, n_threads=n_threads)

    def smooth_to(
        self, fwhm: float, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Smooth each map to a beam, as far as it is not smoothed to it already.

        Parameters
        ----------
        fwhm : float
            FWHM of the beam [arcsec].
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        ndarray of float64, shape (n_pixels,)
            FWHM of the beams that the maps are smoothed with now [arcsec].

        Raises
        ------
        ParameterError
            If the width is not a positive number.
        DataError
            If a map holds sums.
        """
        rows = as_rows(pixels, self.n_pixels)
        return self._native.smooth_to(as_real(fwhm, "fwhm"), pixels=rows, n_threads=n_threads)

    def despike(
        self, level: float, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None
    ) -> npt.NDArray[np.int64]:
        """Discard cells that stand out from their eight neighbours by more than `level` standard deviations.

        Parameters
        ----------
        level : float
            The level.
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        ndarray of int64, shape (n_pixels,)
            Number of cells that were discarded.

        Raises
        ------
        ParameterError
            If the level is not a number.
        DataError
            If a map holds sums.
        """
        rows = as_rows(pixels, self.n_pixels)
        return self._native.despike(as_real(level, "level"), pixels=rows, n_threads=n_threads)

    def filter(
        self,
        fwhm: float,
        *,
        blank: float | None = None,
        kind: str = "convolution",
        beam: float | None = None,
        pixels: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> None:
        """Subtract from each map its own large scales.

        Parameters
        ----------
        fwhm : float
            Scales from this FWHM up are taken out [arcsec].
        blank : float, optional
            Cells whose S/N is beyond this, up or down, do not count as background.
        kind : {"convolution", "fft"}, optional
            The weighted mean around each cell, or the flavour that the reference computes with Fourier transforms.
        beam : float, optional
            FWHM of the source [arcsec]: what the filter takes from it is given back. By default nothing is.
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Raises
        ------
        ParameterError
            If a width makes no sense, or the filter is not wider than the beam of the map.
        DataError
            If a map holds sums.
        """
        if kind not in _FILTERS:
            msg = f"`kind` = {kind!r}; it must be one of {', '.join(_FILTERS)}"
            raise ParameterError(msg)
        rows = as_rows(pixels, self.n_pixels)
        level = None if blank is None else as_real(blank, "blank")
        self._native.filter(as_real(fwhm, "fwhm"), level, kind == "fft", pixels=rows, n_threads=n_threads)
        if beam is not None:
            self._native.correct_filtering(as_real(beam, "beam"), pixels=rows, n_threads=n_threads)

    def _clip(
        self, by: str, limit: float, sign: int, pixels: npt.ArrayLike | None, n_threads: int | None
    ) -> npt.NDArray[np.int64]:
        return self._native.clip(by, limit, sign, pixels=as_rows(pixels, self.n_pixels), n_threads=n_threads)

    def clip_redundancy(
        self, least: float, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None
    ) -> npt.NDArray[np.int64]:
        """Empty cells whose exposure is below `least` [s]; return how many of each map.

        Parameters
        ----------
        least : float
            The shortest exposure that stays [s].
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        ndarray of int64, shape (n_pixels,)
            Number of cells.
        """
        return self._clip("redundancy", as_real(least, "least"), 1, pixels, n_threads)

    def clip_exposure(
        self, fraction: float, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None
    ) -> npt.NDArray[np.int64]:
        """Empty cells whose exposure is below a fraction of the 95 % quantile of their map; return how many.

        Parameters
        ----------
        fraction : float
            The fraction.
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        ndarray of int64, shape (n_pixels,)
            Number of cells.
        """
        return self._clip("exposure", as_real(fraction, "fraction"), 1, pixels, n_threads)

    def clip_noise(
        self, factor: float, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None
    ) -> npt.NDArray[np.int64]:
        """Discard cells whose noise is above a multiple of the 5 % quantile of their map; return how many.

        Parameters
        ----------
        factor : float
            The multiple.
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        ndarray of int64, shape (n_pixels,)
            Number of cells; their numbers stay, under the flag.
        """
        return self._clip("noise", as_real(factor, "factor"), 1, pixels, n_threads)

    def clip_significance(
        self,
        level: float,
        sign: str | int = "+",
        *,
        pixels: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> npt.NDArray[np.int64]:
        """Discard cells whose S/N does not stand out of ``-level .. level`` towards the sign; return how many.

        Parameters
        ----------
        level : float
            The level.
        sign : {"+", "-", "0"} or {1, -1, 0}, optional
            Whether sources are positive, negative, or either.
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        ndarray of int64, shape (n_pixels,)
            Number of cells; their numbers stay, under the flag.
        """
        return self._clip("significance", as_real(level, "level"), as_sign(sign), pixels, n_threads)

    def mem_correct(self, lambda_: float, *, pixels: npt.ArrayLike | None = None, n_threads: int | None = None) -> None:
        """Draw the cells of each map towards zero, by maximum entropy.

        Valid cells lose ``lambda sigma ln(hypot(data, sigma) / sigma)``, towards zero, with ``sigma = weight^-1/2``.

        Parameters
        ----------
        lambda_ : float
            Strength.
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.
        """
        rows = as_rows(pixels, self.n_pixels)
        self._native.mem_correct(as_real(lambda_, "lambda_"), pixels=rows, n_threads=n_threads)

    def update_mask(
        self,
        level: float | None = None,
        min_neighbors: int = 2,
        sign: str | int = "+",
        *,
        pixels: npt.ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> npt.NDArray[np.int64]:
        """Flag the cells on the source with MASK, and take the flag from the others.

        Parameters
        ----------
        level : float, optional
            S/N that a cell must reach, towards the sign; by default any will do. NaN is no level too.
        min_neighbors : int, optional
            Number of valid cells that there must be among a valid cell and its eight neighbours.
        sign : {"+", "-", "0"} or {1, -1, 0}, optional
            Whether sources are positive, negative, or either.
        pixels : array_like of int, optional
            Numbers of the maps; by default all.
        n_threads : int, optional
            Number of threads.

        Returns
        -------
        ndarray of int64, shape (n_pixels,)
            Number of cells that are masked.

        Raises
        ------
        ParameterError
            If a parameter makes no sense.
        DataError
            If a map holds sums.
        """
        height = None if level is None or np.isnan(as_real(level, "level")) else as_real(level, "level")
        return self._native.update_mask(
            height,
            as_count(min_neighbors, "min_neighbors"),
            as_sign(sign),
            pixels=as_rows(pixels, self.n_pixels),
            n_threads=n_threads,
        )

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

        Every valid cell counts with its weight; holes are left out. Where `moments` are known, the model is evaluated at
        the mean position of the samples of each cell and corrected for their scatter, so that binning costs no accuracy.
        Maps that hold sums are fitted as the means that they stand for. Maps stay as they are.

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
        if shape not in _SHAPES:
            msg = f"`shape` = {shape!r}; it must be one of {', '.join(_SHAPES)}"
            raise ParameterError(msg)
        if (shape == "fixed") != (fixed is not None):
            msg = "`fixed` gives both widths and the angle of a fixed shape; it goes with shape='fixed', and with no other"
            raise ParameterError(msg)
        if fixed is not None and len(fixed) != 3:  # noqa: PLR2004
            msg = f"`fixed` = {fixed!r}; it must be (FWHM major, FWHM minor, angle)"
            raise ParameterError(msg)
        check_callable(progress, "progress")
        rows = as_rows(pixels, self.n_pixels)
        arguments: GaussianArguments = {
            "shape": shape,
            "fixed": None if fixed is None else (float(fixed[0]), float(fixed[1]), float(fixed[2])),
            "beam_fwhm": None if beam_fwhm is None else as_real(beam_fwhm, "beam_fwhm"),
            "has_level": as_flag(has_level, "has_level"),
            "starts": _as_starts(starts),
            "region": None if region is None else as_real(region, "region"),
            "sign": as_sign(sign),
            "significance": as_real(significance, "significance"),
            "round_significance": as_real(round_significance, "round_significance"),
            "n_evaluations": as_count(n_evaluations, "n_evaluations", least=1),
        }
        moments = self._moments.reshape(self._moments.shape[0], -1) if self._moments[0].any() else None
        values, covariance, chi2, counts = self._native.fit_gaussians(
            arguments, moments, pixels=rows, n_threads=n_threads, progress=progress
        )
        return GaussianFits(
            position=values[:, :2],
            amplitude=values[:, 2],
            fwhm=values[:, 3:5],
            angle=values[:, 5],
            level=values[:, 6],
            covariance=covariance,
            chi2=chi2,
            n_cells=counts[:, 0],
            degrees_of_freedom=counts[:, 1],
            n_evaluations=counts[:, 2],
            flags=counts[:, 3],
        )

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
            Whether a round Gaussian is fitted from there; otherwise, and where that fails, the width comes from a circle
            that grows until the S/N inside hardly rises.
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
        rows = self._native.find_peaks(arguments, pixels=as_rows(pixels, self.n_pixels), n_threads=n_threads)
        return PeakSources(rows[:, :2], rows[:, 2:4], *rows[:, 4:].T)


def _as_starts(starts: npt.ArrayLike | None) -> list[tuple[float, float]] | None:
    if starts is None:
        return None
    places = np.asarray(starts, dtype=np.float64)
    if places.ndim != 2 or places.shape[1] != 2:  # noqa: PLR2004
        msg = f"`starts` has shape {places.shape}; expected (n, 2)"
        raise ParameterError(msg)
    return [(float(x), float(y)) for x, y in places]
