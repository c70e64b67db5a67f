"""One small, fixed image, for tests that need a good exposure to spoil."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pixtrace.trace import OversampledFlux, TraceModel, fit_all_regions
from pixtrace.trace.oversample import alpha_on_grid, oversample_planes

Array: TypeAlias = npt.NDArray[Any]

#: Position of the star along the slice, in the unit of alpha (pixels are 0.2 wide), and its width and peak.
STAR, WIDTH, PEAK = 0.1, 0.25, 1000.0


@dataclass(frozen=True, kw_only=True)
class SmallScene:
    """The planes of an image of tilted slices with a star in each, and what can be done with them.

    Planes are of any type, because the tests spoil them.
    """

    flux: Any
    error: Any
    alpha: Any
    region_map: Any

    def but(self, **planes: object) -> "SmallScene":
        """Return the scene with other planes.

        Parameters
        ----------
        **planes : object
            New planes by name.

        Returns
        -------
        SmallScene
            The other planes are the same objects.
        """
        return replace(self, **planes)

    def map(self, change: Callable[[Array], Array]) -> "SmallScene":
        """Return the scene with every plane changed by the same function.

        Parameters
        ----------
        change : callable
            Takes a plane and returns one.

        Returns
        -------
        SmallScene
            All planes are new.
        """
        return SmallScene(**{name: change(plane) for name, plane in vars(self).items()})

    def fit(self, **options: Any) -> TraceModel:
        """Fit all regions, without thresholds unless there are any among the options.

        Parameters
        ----------
        **options : object
            Keyword arguments of `fit_all_regions`.

        Returns
        -------
        TraceModel
            With a trace in every column, unless something was spoilt.
        """
        given: dict[str, Any] = {"lrange": 10, "spline_bkpt": 14, "require_ngood": 3, "space_ratio": 1.6} | options
        return fit_all_regions(self.flux, self.error, self.alpha, self.region_map, **given)

    def alpha_os(self, factor: float = 2) -> npt.NDArray[np.float64]:
        """Return alpha on the finer grid.

        Parameters
        ----------
        factor : float
            Oversampling factor.

        Returns
        -------
        ndarray of float64, shape (ceil(n_y factor), n_x)
            NaN outside the regions.
        """
        return alpha_on_grid(self.alpha, self.region_map, factor)

    def oversample(self, model: TraceModel, factor: float = 2, **options: Any) -> OversampledFlux:
        """Oversample the scene with a model.

        Parameters
        ----------
        model : TraceModel
            Of this scene or another one.
        factor : float
            Oversampling factor.
        **options : object
            Keyword arguments of `oversample_planes`.

        Returns
        -------
        OversampledFlux
            The planes.
        """
        given: dict[str, Any] = {"require_ngood": 3} | options
        return oversample_planes(model, self.flux, self.alpha, self.region_map, factor, self.alpha_os(factor), **given)


def small_scene(
    n_rows: int = 14, n_columns: int = 40, *, n_regions: int = 2, dtype: npt.DTypeLike = np.float32
) -> SmallScene:
    """Make the image.

    Parameters
    ----------
    n_rows : int
        Rows of each slice.
    n_columns : int
        Columns of the image.
    n_regions : int
        Number of slices, labelled from 1.
    dtype : dtype
        Precision of flux and error.

    Returns
    -------
    SmallScene
        Flux and error everywhere, alpha NaN between the slices.
    """
    rng = np.random.default_rng(1)
    pitch = n_rows + 5
    y, x = np.mgrid[: pitch * n_regions, :n_columns].astype(np.float64)
    centre = (pitch - 1) / 2 + 2.5 * (x / max(n_columns - 1, 1) - 0.5)
    alpha = np.full(y.shape, np.nan)
    region_map = np.zeros(y.shape, dtype=np.int32)
    for label in range(1, n_regions + 1):
        along = 0.2 * (y - centre - pitch * (label - 1))
        inside = np.abs(along) < 0.1 * n_rows
        alpha[inside] = along[inside]
        region_map[inside] = label
    image = 5.0 + PEAK * np.exp(-0.5 * ((np.nan_to_num(alpha, nan=9.0) - STAR) / WIDTH) ** 2)
    error = np.sqrt(image + 4.0)
    image += 0.3 * error * rng.standard_normal(image.shape)
    return SmallScene(flux=image.astype(dtype), error=error.astype(dtype), alpha=alpha, region_map=region_map)


def tables(model: TraceModel) -> list[tuple[int, int, float, tuple[float, float], bytes, bytes]]:
    """Return all numbers of a model, so that two models can be compared bit for bit.

    Parameters
    ----------
    model : TraceModel
        Any model.

    Returns
    -------
    list of tuple
        Region, column, scale, bounds, and the bytes of knots and coefficients.
    """
    return [
        (label, column, trace.scale, trace.bounds, trace.model.t.tobytes(), trace.model.c.tobytes())
        for label, region in model.items()
        for column, trace in region.items()
    ]
