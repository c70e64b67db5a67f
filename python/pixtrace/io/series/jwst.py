"""Time series of JWST, read and written some integrations at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.io.jwst.exposure import params_of, parts_of, product_name
from pixtrace.io.jwst.product import Product, ProductWriter
from pixtrace.io.jwst.reading import ImageReader
from pixtrace.io.series.base import SeriesFile
from pixtrace.io.series.writer import CubePiece
from pixtrace.trace.oversample import nearest_rows, oversample_planes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from pixtrace.io.jwst.container import FitsContainer, Header
    from pixtrace.io.jwst.pieces import Piece
    from pixtrace.trace.series import TimeSeriesModel
    from pixtrace.trace.series_oversample import OversampledChunk

__all__ = ["JwstSeries"]

_CUBES = {"SCI": "flux", "ERR": "error", "DQ": "dq"}


class JwstSeries(SeriesFile):
    """A JWST file whose SCI is a cube: NIRSpec bright-object time series, MIRI LRS without a slit.

    Parameters
    ----------
    container : FitsContainer
        The file.
    preset : str, optional
        Name of the parameter set; None takes that of the mode.

    Attributes
    ----------
    path : Path
        The file.
    params : TraceParams
        Parameters of the mode.
    series : tuple of SpectralSeries
        Its time series.

    Raises
    ------
    FileReadError, UnsupportedModeError, DataError, MissingExtraError, ParameterError
        See `pixtrace.io.jwst.JwstExposure.open`; DataError also if it is no time series.
    """

    def __init__(self, container: FitsContainer, preset: str | None = None) -> None:
        self.path = container.path
        self._reader = ImageReader(container)
        self.params = params_of(container, preset)
        parts = parts_of(container)
        opened = [self._reader.read_series(part) for part in parts]
        self.series = tuple(series for series, _ in opened)
        self._opened = [image for _, image in opened]
        self._product = Product(container, self._reader.tree, self._reader.mode, parts)
        self._turns = self._reader.mode.slice_axis == "x"
        self._versions = [part.version for part in parts]
        self._output_name = product_name(self.name)

    def _fine_planes(self, index: int, factor: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]:
        return self._reader.fine_planes(self._opened[index], factor)

    def _pieces(
        self, name: str, models: Sequence[TimeSeriesModel], factor: float, *, intermediate: bool
    ) -> Iterator[Piece]:
        del intermediate
        results: list[Any] = []
        wavelengths: list[npt.NDArray[np.float32] | None] = []
        for index, (series, model) in enumerate(zip(self.series, models, strict=True)):
            alpha, wavelength = self._fine_planes(index, factor)
            rows = nearest_rows(series.shape[0], factor, flipped=series.flipped)
            names = [name for name in _CUBES if name != "ERR" or series.error is not None]
            if series.error is not None:
                names += [name.upper() for name in series.variances]
            results.append(
                _Result(
                    factor=factor,
                    shape=(series.n_integrations, rows.size, series.shape[1]),
                    cubes=tuple(names),
                    trace=_trace(model, factor, alpha, flipped=series.flipped),
                )
            )
            wavelengths.append(wavelength)
        yield from _SeriesWriter(self._product, results, name).product(wavelengths)

    def _cubes(self, chunk: OversampledChunk, *, intermediate: bool) -> dict[str, Any]:
        del intermediate
        planes: dict[str, Any] = {name: getattr(chunk, attribute) for name, attribute in _CUBES.items()}
        return planes | {name.upper(): plane for name, plane in chunk.variances.items()}

    def _turned(self, index: int, cube: npt.NDArray[Any]) -> npt.NDArray[Any]:
        del index
        return np.rot90(cube, -1, axes=(-2, -1)) if self._turns else cube


def _trace(
    model: TimeSeriesModel, factor: float, alpha: npt.NDArray[np.float64], *, flipped: bool
) -> npt.NDArray[np.float32]:
    """Return the trace of the mean image on the finer grid, in the unit of the flux."""
    image, params = model.mean, model.params
    planes = oversample_planes(
        model.fitted.model,
        model.mean_for_core[0],
        image.alpha,
        image.region_map,
        factor,
        alpha,
        **params.oversample_kwargs(),
        flipped=flipped,
        dtype=np.float32,
        want=("trace_used",),
    )
    trace = planes.trace_used + model.fitted.offset
    return (trace / factor if image.flux_is_density else trace).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Result:
    """What the writer has to know of an oversampled time series."""

    factor: float
    shape: tuple[int, int, int]
    cubes: tuple[str, ...]
    trace: npt.NDArray[np.float32]


class _SeriesWriter(ProductWriter):
    """Puts together the product of a time series, its cubes without data."""

    def _planes(self, result: Any, wavelength: npt.NDArray[np.float32] | None) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
        for name in result.cubes:
            yield name, result
        yield "TRACEMODEL", result.trace
        if wavelength is not None:
            yield "WAVELENGTH", wavelength

    def _plane(self, name: str, version: int, plane: Any, old: Header | None) -> Piece:  # noqa: ANN401
        if not isinstance(plane, _Result):
            return super()._plane(name, version, plane, old)
        n, n_y, n_x = plane.shape
        shape = (n, n_x, n_y) if self.source.mode.slice_axis == "x" else (n, n_y, n_x)
        piece = CubePiece(name, version, shape, np.uint32 if name == "DQ" else np.float32, old)
        self._divide_areas(piece.header)
        return piece
