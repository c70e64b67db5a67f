"""A detector array in the focal plane: where its pixels really are, how well they see, and what is wrong with some."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import ParameterError

__all__ = ["BAD_REASONS", "ArrayLayout", "DetectorArray"]

#: What can be wrong with a pixel, in the order in which `ArrayLayout` asks for it; "" is a good pixel.
BAD_REASONS = ("dead", "blind", "noisy", "oscillating")


@dataclass(frozen=True, kw_only=True)
class ArrayLayout:
    """How an array is made: a grid of pixels, none of them quite where it should be.

    The pixel in row r and column c is meant to be at ``x = (c - centre[0]) pitch``, ``y = (r - centre[1]) pitch``.
    A pixel at position p sees the source when the boresight is off by -p.

    Attributes
    ----------
    n_rows, n_columns : int
        Size of the grid.
    pitch : float
        Distance between neighbours [arcsec].
    centre : tuple of float or None
        Column and row of the boresight; None is the middle of the grid.
    first_row, first_column : int
        Numbers of the first row and column, where the grid is a part of a larger array.
    row_stride : int or None
        Channel numbers are ``row row_stride + column``; None takes `first_column` + `n_columns`.
    displacement : float
        Standard deviation of the positions about the nominal ones, in x and in y [arcsec].
    gain_scatter : float
        Standard deviation of the natural logarithm of the source gain, whose median is 1.
    dead_fraction, blind_fraction, noisy_fraction, oscillating_fraction : float
        Parts of the pixels that give a constant; noise but no light, neither of the source nor of the sky; a noise
        `noise_excess` times too high; a sine wave of `noise_excess` times the noise.
    noise_excess : float
        See there.
    rotation : float
        Angle of the array against the telescope's system [deg]; positions are those in the array's own system.

    Raises
    ------
    ParameterError
        A number makes no sense, or more than all pixels are bad.
    """

    n_rows: int = 16
    n_columns: int = 16
    pitch: float = 4.02
    centre: tuple[float, float] | None = None
    first_row: int = 0
    first_column: int = 0
    row_stride: int | None = None
    displacement: float = 1.5
    gain_scatter: float = 0.1
    dead_fraction: float = 0.03
    blind_fraction: float = 0.0
    noisy_fraction: float = 0.0
    oscillating_fraction: float = 0.0
    noise_excess: float = 30.0
    rotation: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.n_rows < 1 or self.n_columns < 1 or self.first_row < 0 or self.first_column < 0:
            msg = (
                f"{self.n_rows} x {self.n_columns} pixels from row {self.first_row}, column {self.first_column}; "
                f"there must be at least one, and rows and columns count from 0"
            )
            raise ParameterError(msg)
        if self.stride < self.first_column + self.n_columns:
            msg = f"`row_stride` = {self.stride}; it must be at least {self.first_column + self.n_columns}, the columns"
            raise ParameterError(msg)
        for name in ("pitch", "noise_excess"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                msg = f"`{name}` = {value}; it must be a positive number"
                raise ParameterError(msg)
        for name in ("displacement", "gain_scatter", *(f"{reason}_fraction" for reason in BAD_REASONS)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                msg = f"`{name}` = {value}; it must be 0 or a positive number"
                raise ParameterError(msg)
        total = sum(self.bad_fractions)
        if total > 1.0:
            msg = f"the fractions of bad pixels add up to {total:g}; they must not be more than 1"
            raise ParameterError(msg)

    @property
    def stride(self) -> int:
        """Channel numbers from one row to the next.

        Returns
        -------
        int
            `row_stride`, or what it is by default.
        """
        return self.first_column + self.n_columns if self.row_stride is None else self.row_stride

    @property
    def bad_fractions(self) -> tuple[float, ...]:
        """Part of the pixels that is bad for each of `BAD_REASONS`.

        Returns
        -------
        tuple of float
            Each from 0 to 1.
        """
        return tuple(float(getattr(self, f"{reason}_fraction")) for reason in BAD_REASONS)

    def make(self, rng: np.random.Generator) -> DetectorArray:
        """Return an array made to this plan.

        Parameters
        ----------
        rng : Generator
            Decides about displacements, gains and bad pixels.

        Returns
        -------
        DetectorArray
            The array. The number of pixels that are bad for each reason is its fraction, rounded.
        """
        row, column = (axis.ravel() for axis in np.indices((self.n_rows, self.n_columns), dtype=np.int64, sparse=False))
        row, column = row + self.first_row, column + self.first_column
        n = row.size
        x0, y0 = self.centre or (
            self.first_column + 0.5 * (self.n_columns - 1),
            self.first_row + 0.5 * (self.n_rows - 1),
        )
        nominal = np.stack([column - x0, row - y0]).astype(np.float64) * self.pitch
        position = nominal + self.displacement * rng.standard_normal((2, n))
        gain = np.exp(self.gain_scatter * rng.standard_normal(n))
        reason = np.zeros(n, dtype="U11")
        order = rng.permutation(n)
        first = 0
        for name, fraction in zip(BAD_REASONS, self.bad_fractions, strict=True):
            last = min(first + round(fraction * n), n)
            reason[order[first:last]] = name
            first = last
        gain[(reason == "dead") | (reason == "blind")] = 0.0
        return DetectorArray(
            channel=row * self.stride + column,
            row=row,
            column=column,
            nominal_position=nominal,
            position=position,
            gain=gain,
            reason=reason,
            pitch=self.pitch,
            rotation=self.rotation,
            noise_excess=self.noise_excess,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectorArray:
    """The pixels of an array, and the truth about them.

    Attributes
    ----------
    channel : ndarray of int64, shape (n_channels,)
        Fixed number of each pixel, growing.
    row, column : ndarray of int64, shape (n_channels,)
        Where it is wired.
    nominal_position : ndarray of float64, shape (2, n_channels)
        Where it is meant to be, x and y [arcsec].
    position : ndarray of float64, shape (2, n_channels)
        Where it is [arcsec].
    gain : ndarray of float64, shape (n_channels,)
        Response to the source; 0 for dead and blind pixels.
    reason : ndarray of str, shape (n_channels,)
        One of `BAD_REASONS`, or "" for a good pixel.
    pitch : float
        Distance between neighbours [arcsec].
    rotation : float
        Angle against the telescope's system [deg].
    noise_excess : float
        How much noise the bad ones have.
    """

    channel: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    nominal_position: npt.NDArray[np.float64]
    position: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]
    reason: npt.NDArray[np.str_]
    pitch: float
    rotation: float
    noise_excess: float

    @property
    def n_channels(self) -> int:
        """Number of pixels.

        Returns
        -------
        int
            At least 1.
        """
        return int(self.channel.size)

    @property
    def is_good(self) -> npt.NDArray[np.bool_]:
        """Which pixels a beam map ought to find.

        Returns
        -------
        ndarray of bool, shape (n_channels,)
            True where nothing is wrong.
        """
        return np.asarray(self.reason == "", dtype=np.bool_)
