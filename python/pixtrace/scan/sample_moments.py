"""Where in their cells the samples of maps stand, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import DtypeError, ParameterError, ShapeError

__all__ = ["SampleMoments"]

N_MOMENTS: Final = 6
_NDIM: Final = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleMoments:
    """Where in their cells the samples of maps stand: what the maps share, and what single maps miss.

    All channels of a scan look through the same frames. So the sums over the frames are kept once, with a factor for
    each map (gain squared over variance), and only the cells of a map that miss a sample, because it was flagged or not
    finite, are listed. Scans in which the factors of the maps keep their proportion share a layer. Positions are in
    cells about the centre of the cell.

    Attributes
    ----------
    sums : ndarray of float64, shape (n_layers, 6, n_y, n_x)
        Sums over frames of weight and of weight times x, y, x x, x y and y y.
    factors : ndarray of float64, shape (n_layers, n_pixels)
        What the frames of each layer count in each map; 0: they are not in it.
    missed_at : ndarray of int64, shape (n_missed, 2)
        Map and cell (y n_x + x) of what is missed.
    missed : ndarray of float64, shape (n_missed, 6)
        Weight that is missed there, with the factor, and the mean x, y, x x, x y and y y of it.

    Raises
    ------
    ShapeError, DtypeError
        The arrays do not fit together.
    ParameterError
        There is no such map or cell.
    """

    sums: npt.NDArray[np.float64]
    factors: npt.NDArray[np.float64]
    missed_at: npt.NDArray[np.int64]
    missed: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check that everything fits together."""
        n = len(self.missed)
        shapes = {"missed_at": (n, 2), "missed": (n, N_MOMENTS)}
        if self.sums.ndim != _NDIM or self.factors.ndim != 2:  # noqa: PLR2004
            msg = (
                f"`sums` and `factors` have shapes {self.sums.shape} and {self.factors.shape}; expected "
                "(n_layers, 6, n_y, n_x) and (n_layers, n_pixels)"
            )
            raise ShapeError(msg)
        shapes["sums"] = (self.sums.shape[0], N_MOMENTS, *self.sums.shape[2:])
        shapes["factors"] = (self.sums.shape[0], self.factors.shape[1])
        for field in fields(self):
            array, dtype = getattr(self, field.name), np.dtype("i8" if field.name == "missed_at" else "f8")
            if array.shape != shapes[field.name]:
                msg = f"`{field.name}` of the moments has shape {array.shape}; expected {shapes[field.name]}"
                raise ShapeError(msg)
            if array.dtype != dtype:
                msg = f"`{field.name}` of the moments has dtype {array.dtype}; expected {dtype}"
                raise DtypeError(msg)
        ends = (self.n_pixels, self.sums.shape[2] * self.sums.shape[3])
        if n and ((self.missed_at < 0) | (self.missed_at >= ends)).any():
            msg = f"`missed_at` of the moments names a map or a cell beyond {ends}, the numbers of maps and cells"
            raise ParameterError(msg)

    @classmethod
    def unknown(cls, n_pixels: int, n_y: int, n_x: int) -> Self:
        """Return moments that tell nothing.

        Parameters
        ----------
        n_pixels, n_y, n_x : int
            Numbers of maps, and of rows and columns of each.

        Returns
        -------
        SampleMoments
            No layer.
        """
        return cls(
            sums=np.zeros((0, N_MOMENTS, n_y, n_x)),
            factors=np.zeros((0, n_pixels)),
            missed_at=np.zeros((0, 2), np.int64),
            missed=np.zeros((0, N_MOMENTS)),
        )

    @property
    def n_pixels(self) -> int:
        """Number of maps."""
        return int(self.factors.shape[1])

    def of_pixel(self, pixel: int) -> npt.NDArray[np.float64]:
        """Return the sums over the samples of one map.

        Parameters
        ----------
        pixel : int
            Number of the map.

        Returns
        -------
        ndarray of float64, shape (6, n_y, n_x)
            Sums of weight and of weight times x, y, x x, x y and y y; zeros where nothing is known.
        """
        own: npt.NDArray[np.float64] = np.tensordot(self.factors[:, pixel], self.sums, axes=1)
        here = self.missed_at[:, 0] == pixel
        weight, means = self.missed[here, :1], self.missed[here, 1:]
        cells = self.missed_at[here, 1]
        np.subtract.at(own.reshape(N_MOMENTS, -1).T, cells, np.hstack([weight, weight * means]))
        return own
