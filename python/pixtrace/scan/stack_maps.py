"""What is done to the maps of a stack one by one, between the samples and the fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixtrace._arrays import as_count, as_flag, as_real
from pixtrace.exceptions import ParameterError
from pixtrace.scan._gates import as_rows, as_sign, as_threads
from pixtrace.scan.stack_samples import StackSamples

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["StackMaps"]

_FILTERS = ("convolution", "fft")


class StackMaps(StackSamples):
    """Maps that are normalised, levelled, smoothed, clipped and masked; see `MapStack`."""

    def _which(self, pixels: npt.ArrayLike | None, n_threads: int | None) -> tuple[list[int] | None, int | None]:
        """Return numbers of maps and of threads, checked."""
        return as_rows(pixels, self.n_pixels), as_threads(n_threads)

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
        self._native.end_accumulation(self._which(pixels, n_threads))

    @property
    def n_valid(self) -> npt.NDArray[np.int64]:
        """Number of valid cells of each map, shape (n_pixels,)."""
        return self._native.count_valid((None, None))

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
        return int(self._native.count_valid(self._which(pixels, n_threads)).sum())

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
        return self._native.level(as_flag(robust, "robust"), self._which(pixels, n_threads))

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
        return self._native.chi2(as_flag(robust, "robust"), self._which(pixels, n_threads))

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
        return self._native.reweight(as_flag(robust, "robust"), self._which(pixels, n_threads))

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
        return self._native.smooth_to(as_real(fwhm, "fwhm"), self._which(pixels, n_threads))

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
        return self._native.despike(as_real(level, "level"), self._which(pixels, n_threads))

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
        level = None if blank is None else as_real(blank, "blank")
        self._native.filter(as_real(fwhm, "fwhm"), level, kind == "fft", self._which(pixels, n_threads))
        if beam is not None:
            self._native.correct_filtering(as_real(beam, "beam"), self._which(pixels, n_threads))

    def _clip(
        self, by: str, limit: float, sign: int, pixels: npt.ArrayLike | None, n_threads: int | None
    ) -> npt.NDArray[np.int64]:
        return self._native.clip(by, limit, sign, self._which(pixels, n_threads))

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
        self._native.mem_correct(as_real(lambda_, "lambda_"), self._which(pixels, n_threads))

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
            self._which(pixels, n_threads),
        )
