"""What files with time series have in common, whatever their format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pixtrace.io.atomic import atomic_path, check_output
from pixtrace.io.series.writer import CubeFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from pixtrace.io.jwst.pieces import Piece
    from pixtrace.trace.params import TraceParams
    from pixtrace.trace.series import TimeSeriesModel
    from pixtrace.trace.series_cube import SpectralSeries
    from pixtrace.trace.series_oversample import OversampledChunk

__all__ = ["SeriesFile"]


class SeriesFile(ABC):
    """A file with one time series or several, as `open_series` returns it.

    Attributes
    ----------
    path : Path
        The file.
    params : TraceParams
        Parameters of the preset, or of the mode.
    series : tuple of SpectralSeries
        Its time series.
    """

    path: Path
    params: TraceParams
    series: tuple[SpectralSeries, ...]
    #: EXTVER of each series.
    _versions: list[int]
    #: What the product is called by default.
    _output_name: str

    @property
    def name(self) -> str:
        """Name of the file without directory."""
        return self.path.name

    def output_name(self, factor: float) -> str:
        """Return the name that the product is given by default, without directory.

        Parameters
        ----------
        factor : float
            Oversampling factor; the name does not depend on it.

        Returns
        -------
        str
            Such as ``jw..._adaptive_trace_model.fits``, or the input's name with ``_oversampled`` added.
        """
        del factor
        return self._output_name

    def alpha_os(self, index: int, factor: float) -> npt.NDArray[np.float64]:
        """Return alpha on the finer grid, from the WCS or, without one, interpolated along each column of each region.

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
        return self._fine_planes(index, factor)[0]

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

        That of JWST is the datamodel that was read, every integration oversampled; TRACEMODEL, which has two dimensions
        in the datamodel, is the trace of the mean image.

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
            Whether TRACE_FULL, LINEAR and RESIDUAL are written; products of JWST do not have them.

        Yields
        ------
        callable
            Called as ``put(index, chunk)`` for all chunks of all series.

        Raises
        ------
        OutputExistsError, OutputError
            See `pixtrace.io.atomic.atomic_path`.
        """
        check_output(path, overwrite=overwrite)
        pieces = list(self._pieces(path.name, models, factor, intermediate=intermediate))
        with atomic_path(path, overwrite=overwrite) as unfinished, CubeFile(unfinished, pieces) as file:

            def put(index: int, chunk: OversampledChunk) -> None:
                for name, plane in self._cubes(chunk, intermediate=intermediate).items():
                    if plane is not None:
                        file.put(name, self._versions[index], chunk.start, self._turned(index, plane))

            yield put

    @abstractmethod
    def _fine_planes(
        self, index: int, factor: float
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.floating[Any]] | None]:
        """Return alpha and, if it is known, the wavelength on the finer grid."""

    @abstractmethod
    def _pieces(
        self, name: str, models: Sequence[TimeSeriesModel], factor: float, *, intermediate: bool
    ) -> Iterable[Piece]:
        """Return the units of the product called so, its cubes without their data."""

    @abstractmethod
    def _cubes(self, chunk: OversampledChunk, *, intermediate: bool) -> dict[str, Any]:
        """Return the planes of a chunk by the extension that they go to."""

    @abstractmethod
    def _turned(self, index: int, cube: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return planes of a series in the orientation of the file."""
