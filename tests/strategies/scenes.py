"""Small images of tilted slices with a star, with noise, gaps and bad pixels."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

BACKGROUND = 5.0

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, repr=False)
class Scene:
    """The planes of one exposure, and how to fit it.

    Parameters
    ----------
    flux, error : ndarray, shape (n_y, n_x)
        Data and their errors; NaN where bad.
    alpha : ndarray of float64, shape (n_y, n_x)
        Along-slice coordinate; NaN between the slices.
    region_map : ndarray of int32, shape (n_y, n_x)
        Slice labels, 0 between the slices.
    n_intervals : int
        Knot intervals for the fit.
    lrange : int
        Half width of the window.
    star : tuple of float
        Position, peak and width (standard deviation) of the star.
    """

    flux: FloatArray
    error: FloatArray
    alpha: npt.NDArray[np.float64]
    region_map: npt.NDArray[np.int32]
    n_intervals: int
    lrange: int
    star: tuple[float, float, float]

    def __repr__(self) -> str:
        n_bad = int(np.count_nonzero(np.isnan(self.flux) & (self.region_map > 0)))
        return (
            f"Scene({self.flux.shape} {self.flux.dtype}, {self.region_map.max()} regions, {n_bad} bad, "
            f"n_intervals={self.n_intervals}, lrange={self.lrange}, star={self.star})"
        )

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        del cycle
        printer.text(repr(self))

    @property
    def planes(self) -> tuple[FloatArray, FloatArray, npt.NDArray[np.float64], npt.NDArray[np.int32]]:
        """The arguments of `fit_all_regions`, in order."""
        return self.flux, self.error, self.alpha, self.region_map

    @property
    def fit_options(self) -> dict[str, Any]:
        """Keyword arguments of `fit_all_regions`."""
        return {"lrange": self.lrange, "spline_bkpt": self.n_intervals, "require_ngood": 5, "space_ratio": 1.6}

    def scaled(self, k: float) -> "Scene":
        """Return the scene with `k` times the flux and error.

        Parameters
        ----------
        k : float
            A positive number; a power of two changes no digit.

        Returns
        -------
        Scene
            The other planes are the same.
        """
        return replace(self, flux=self.flux * self.flux.dtype.type(k), error=self.error * self.error.dtype.type(k))

    def truth(self, alpha: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the noiseless image.

        Parameters
        ----------
        alpha : ndarray, shape (n, n_x)
            Where along the slice, native or oversampled.

        Returns
        -------
        ndarray of float64, shape (n, n_x)
            A star with a wavy spectrum on a flat background.
        """
        return _image(alpha, *self.star)

    def alpha_os(self, factor: float) -> npt.NDArray[np.float64]:
        """Return alpha on the oversampled grid: linear along each column, NaN outside the regions' own rows.

        Parameters
        ----------
        factor : float
            Oversampling factor.

        Returns
        -------
        ndarray of float64, shape (ceil(n_y factor), n_x)
            Extrapolated by up to half a native pixel at the ends of the regions.
        """
        n_y, n_x = self.alpha.shape
        rows = (np.arange(np.ceil(n_y * factor - 1e-9)) + 0.5) / factor - 0.5
        near = np.clip(np.rint(np.round(rows, 9)).astype(int), 0, n_y - 1)
        result = np.full((rows.size, n_x), np.nan)
        for label in np.unique(self.region_map[self.region_map > 0]):
            for i in range(n_x):
                (inside,) = np.nonzero(self.region_map[:, i] == label)
                if inside.size > 1:
                    fine = self.region_map[near, i] == label
                    slope, offset = np.polyfit(inside, self.alpha[inside, i], 1)
                    result[fine, i] = slope * rows[fine] + offset
        return result


def _image(alpha: npt.NDArray[np.float64], centre: float, peak: float, width: float) -> npt.NDArray[np.float64]:
    spectrum = 1.0 + 0.3 * np.sin(np.arange(alpha.shape[1]) / 5.0)
    return np.asarray(spectrum * peak * np.exp(-0.5 * ((alpha - centre) / width) ** 2) + BACKGROUND, dtype=np.float64)


@st.composite
def scenes(
    draw: st.DrawFn,
    *,
    n_regions: st.SearchStrategy[int] | None = None,
    noise: bool = True,
    dtype: npt.DTypeLike = np.float32,
) -> Scene:
    """Draw a scene with well-posed windows: the slices are tilted and the knots are not closer than half a pixel."""
    labels = draw(st.just(1) if n_regions is None else n_regions)
    height = draw(st.integers(10, 16))
    n_x = draw(st.integers(16, 40))
    tilt = draw(st.floats(1.5, 5.0)) * draw(st.sampled_from([-1, 1]))
    pitch = height + 2 + int(np.ceil(abs(tilt)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    y, x = np.mgrid[: pitch * labels, :n_x].astype(np.float64)
    alpha = np.full(y.shape, np.nan)
    region_map = np.zeros(y.shape, dtype=np.int32)
    # Real slices are not straight to the last digit; on a lattice, ties are decided by rounding.
    centre = (pitch - 1) / 2 + tilt * (x / (n_x - 1) - 0.5) + rng.uniform(-0.1, 0.1, n_x)
    for label in range(1, labels + 1):
        row = y - centre - pitch * (label - 1)
        a = 0.2 * row * (1.0 + 3e-4 * row**2)
        inside = np.abs(a) < 0.1 * height
        alpha[inside] = a[inside]
        region_map[inside] = label

    star = (draw(st.floats(-0.4, 0.4)), draw(st.floats(50.0, 5000.0)), draw(st.floats(0.16, 0.4)))
    image = _image(alpha, *star)
    error = np.sqrt(np.abs(image) + 4.0)
    if noise:
        image = image + 0.3 * error * rng.standard_normal(image.shape)
        bad = rng.random(image.shape) < draw(st.sampled_from([0.0, 0.01, 0.05]))
        image[bad] = np.nan
        hit = rng.random(image.shape) < draw(st.sampled_from([0.0, 0.005]))
        image[hit] += 3.0 * star[1]
    return Scene(
        flux=image.astype(dtype),
        error=error.astype(dtype),
        alpha=alpha,
        region_map=region_map,
        n_intervals=draw(st.integers(max(4, height - 4), height + 4)),
        lrange=draw(st.integers(8, 20)),
        star=star,
    )
