"""Where the slices of an integral-field unit fall on a detector: bowed and tilted bands, one below the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pixtrace.exceptions import ParameterError

__all__ = ["IfuGeometry"]


@dataclass(frozen=True, kw_only=True)
class IfuGeometry:
    """The slices of an integral-field unit on the detector. Dispersion runs along axis 1 (columns).

    The middle of slice s runs along row ``centre_s + tilt_s u / 2 + bow u^2``, where u goes from -1 in the first column
    to 1 in the last. The centres are spread evenly so that the outermost slices just fit.

    Attributes
    ----------
    shape : tuple of int
        Shape (n_y, n_x) of the detector image.
    n_slices : int
        Number of slices.
    height : float
        Length of a slice [rows], at least 1.
    pixel_scale : float
        Along-slice angle per row at the middle of a slice [arcsec].
    slice_width : float
        Width of a slice on the sky, across it [arcsec].
    tilt : float
        Rows by which the middle slice climbs from the first column to the last.
    bow : float
        Rows by which the ends of a slice are bent up.
    fan : float
        Relative difference of the tilt between the first and the last slice.
    distortion : float
        Relative change of the pixel scale from the middle of a slice to its ends is three times this.
    first_label : int
        Label of the first slice in the region map; the others follow.

    Raises
    ------
    ParameterError
        The slices do not fit on the detector, or a number makes no sense.
    """

    shape: tuple[int, int]
    n_slices: int
    height: float
    pixel_scale: float
    slice_width: float
    tilt: float = 0.0
    bow: float = 0.0
    fan: float = 0.1
    distortion: float = 0.002
    first_label: int = 1

    def __post_init__(self) -> None:
        """Check that the slices fit."""
        n_y, n_x = self.shape
        if n_y < 1 or n_x < 1 or self.n_slices < 1 or self.first_label < 1:
            msg = f"{n_y} x {n_x} pixels, {self.n_slices} slices from label {self.first_label}: all must be at least 1"
            raise ParameterError(msg)
        for name in ("height", "pixel_scale", "slice_width"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0.0):
                msg = f"`{name}` = {value}; it must be a positive number"
                raise ParameterError(msg)
        if self.height < 1.0:
            msg = f"`height` = {self.height}; a slice must have at least one row"
            raise ParameterError(msg)
        traces = self.traces
        half = self.height / 2.0
        outside = min(traces.min() - half + 0.5, n_y - 0.5 - half - traces.max()) < 0.0
        overlapping = self.n_slices > 1 and np.diff(traces, axis=0).min() <= self.height
        if outside or overlapping:
            msg = (
                f"{self.n_slices} slices of {self.height:g} rows (tilt {self.tilt:g}, bow {self.bow:g} rows) do not "
                f"fit into {n_y} rows; take fewer, shorter slices or more rows"
            )
            raise ParameterError(msg)

    @property
    def labels(self) -> npt.NDArray[np.int32]:
        """Label of each slice in the region map.

        Returns
        -------
        ndarray of int32, shape (n_slices,)
            Ascending.
        """
        return np.arange(self.first_label, self.first_label + self.n_slices, dtype=np.int32)

    @cached_property
    def beta(self) -> npt.NDArray[np.float64]:
        """Position of the middle of each slice on the sky, across the slices.

        Returns
        -------
        ndarray of float64, shape (n_slices,)
            In arcsec; 0 is the middle of the field.
        """
        count = np.arange(self.n_slices, dtype=np.float64)
        beta: npt.NDArray[np.float64] = (count - (self.n_slices - 1) / 2.0) * self.slice_width
        return beta

    @cached_property
    def traces(self) -> npt.NDArray[np.float64]:
        """Row of the middle of each slice in each column.

        Returns
        -------
        ndarray of float64, shape (n_slices, n_x)
            Row coordinates; pixel centres are whole numbers.
        """
        n_y, n_x = self.shape
        u = np.linspace(-1.0, 1.0, n_x) if n_x > 1 else np.zeros(1)
        place = np.linspace(-0.5, 0.5, self.n_slices) if self.n_slices > 1 else np.zeros(1)
        bend = self.tilt * (1.0 + self.fan * place[:, None]) * u / 2.0 + self.bow * u**2
        half = self.height / 2.0 + 1.0
        low = half - bend[0].min()
        high = n_y - 1.0 - half - bend[-1].max()
        centres = np.linspace(low, high, self.n_slices) if self.n_slices > 1 else np.array([(low + high) / 2.0])
        # Slices never sit at the same place within a pixel: the golden ratio spreads them evenly between -0.4 and 0.4.
        centres += 0.8 * (np.arange(self.n_slices) * 0.6180339887498949 % 1.0) - 0.4
        traces: npt.NDArray[np.float64] = centres[:, None] + bend
        return traces

    @cached_property
    def region_map(self) -> npt.NDArray[np.int32]:
        """Label of the slice in each pixel.

        Returns
        -------
        ndarray of int32, shape (n_y, n_x)
            0 between slices.
        """
        n_y, n_x = self.shape
        region_map = np.zeros((n_y, n_x), dtype=np.int32)
        first = np.maximum(np.ceil(self.traces - self.height / 2.0), 0.0).astype(np.intp)
        last = np.minimum(np.floor(self.traces + self.height / 2.0), n_y - 1.0).astype(np.intp)
        for label, top, bottom in zip(self.labels, first, last, strict=True):
            rows = np.arange(top.min(), bottom.max() + 1)
            inside = (rows[:, None] >= top) & (rows[:, None] <= bottom)
            region_map[rows[0] : rows[-1] + 1][inside] = label
        return region_map

    def alpha_at(
        self, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.intp], slices: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float64]:
        """Return alpha at the given places on the detector.

        Parameters
        ----------
        rows : ndarray of float64, shape (n,)
            Row coordinates; pixel centres are whole numbers.
        columns, slices : ndarray of intp, shape (n,)
            Column and index of the slice (not its label).

        Returns
        -------
        ndarray of float64, shape (n,)
            Along-slice coordinate [arcsec].
        """
        offset = rows - self.traces[slices, columns]
        return self.pixel_scale * offset * (1.0 + self.distortion * (2.0 * offset / self.height) ** 2)

    def pixel_width_at(
        self, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.intp], slices: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float64]:
        """Return how much alpha one native row covers at the given places.

        Parameters
        ----------
        rows, columns, slices : ndarray, shape (n,)
            As for `alpha_at`.

        Returns
        -------
        ndarray of float64, shape (n,)
            Width of a pixel along the slice [arcsec].
        """
        offset = rows - self.traces[slices, columns]
        return self.pixel_scale * (1.0 + 3.0 * self.distortion * (2.0 * offset / self.height) ** 2)

    def rows_of(self, index: int, alpha: float) -> npt.NDArray[np.float64]:
        """Return the row where a slice has a given alpha, in each column.

        Parameters
        ----------
        index : int
            Index of the slice (not its label).
        alpha : float
            Along-slice coordinate [arcsec].

        Returns
        -------
        ndarray of float64, shape (n_x,)
            Row coordinates; they may lie beyond the ends of the slice.
        """
        wanted = alpha / self.pixel_scale
        offset = wanted
        traces: npt.NDArray[np.float64] = self.traces[index]
        for _ in range(20):  # a contraction by about the distortion each time
            offset = wanted / (1.0 + self.distortion * (2.0 * offset / self.height) ** 2)
        return traces + offset
