"""Time series of JWST, read and written some integrations at a time."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.io.atomic import atomic_path, check_output
from pixtrace.io.jwst.exposure import params_of, parts_of, product_name
from pixtrace.io.jwst.product import Product, ProductWriter
from pixtrace.io.jwst.reading import ImageReader
from pixtrace.io.series.writer import CubeFile, CubePiece
from pixtrace.trace.oversample import nearest_rows, oversample_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pixtrace.io.jwst.container import FitsContainer, Header
    from pixtrace.io.jwst.pieces import Piece
    from pixtrace.trace.series import TimeSeriesModel
    from pixtrace.trace.series_oversample import OversampledChunk

__all__ = ["JwstSeries"]

_CUBES = {"SCI": "flux", "ERR": "error", "DQ": "dq"}


class JwstSeries:
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
        self._parts = parts_of(container)
        opened = [self._reader.read_series(part) for part in self._parts]
        self.series = tuple(series for series, _ in opened)
        self._opened = [image for _, image in opened]
        self._product = Product(container, self._reader.tree, self._reader.mode, self._parts)
        self._turns = self._reader.mode.slice_axis == "x"

    @property
    def name(self) -> str:
        """Name of the file without directory."""
        return self.path.name

    def alpha_os(self, index: int, factor: float) -> npt.NDArray[np.float64]:
        """Return alpha on the finer grid, from the WCS.

        Parameters
        ----------
        index : int
            Which of `series`.
        factor : float
            Oversampling factor.

        Returns
        -------
        ndarray of float64, shape (ceil(n_y * factor), n_x)
            Alpha; NaN outside the regions.
        """
        return self._reader.fine_planes(self._opened[index], factor)[0]

    def output_name(self, factor: float) -> str:
        """Return the name that the product is given by default, without directory.

        Parameters
        ----------
        factor : float
            Oversampling factor; the name does not depend on it.

        Returns
        -------
        str
            Such as ``jw..._adaptive_trace_model.fits``.
        """
        del factor
        return product_name(self.name)

    @contextmanager
    def product(
        self,
        path: Path,
        models: Sequence[TimeSeriesModel],
        factor: float,
        *,
        overwrite: bool = False,
        intermediate: bool = False,
    ) -> Generator[Callable[[int, OversampledChunk], None]]:
        """Open the product, for chunks to be put into it.

        It is the datamodel that was read, every integration oversampled. TRACEMODEL, which has two dimensions in the
        datamodel, is the trace of the mean image.

        Parameters
        ----------
        path : Path
            The file; it is there complete after the block, or not at all.
        models : sequence of TimeSeriesModel
            One per series.
        factor : float
            Oversampling factor.
        overwrite : bool, optional
            Whether a file that is there already may be replaced.
        intermediate : bool, optional
            Not looked at: intermediate results of time series are not written.

        Yields
        ------
        callable
            Called as ``put(index, chunk)`` for all chunks of all series.

        Raises
        ------
        OutputExistsError, OutputError
            See `pixtrace.io.atomic.atomic_path`.
        """
        del intermediate
        check_output(path, overwrite=overwrite)
        results: list[Any] = []
        wavelengths: list[npt.NDArray[np.float32] | None] = []
        for series, opened, model in zip(self.series, self._opened, models, strict=True):
            alpha, wavelength = self._reader.fine_planes(opened, factor)
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
        pieces = _SeriesWriter(self._product, results, path.name).product(wavelengths)
        with atomic_path(path, overwrite=overwrite) as unfinished, CubeFile(unfinished, pieces) as file:

            def put(index: int, chunk: OversampledChunk) -> None:
                version = self._parts[index].version
                planes: dict[str, Any] = {name: getattr(chunk, attribute) for name, attribute in _CUBES.items()}
                planes |= {name.upper(): plane for name, plane in chunk.variances.items()}
                for name, plane in planes.items():
                    if plane is not None:
                        turned = np.rot90(plane, -1, axes=(-2, -1)) if self._turns else plane
                        file.put(name, version, chunk.start, turned)

            yield put


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
