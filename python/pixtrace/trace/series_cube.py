"""The cubes of a time series: read some integrations at a time, checked, and never all of them in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from pixtrace._arrays import FloatArray, as_count, as_flag, as_floating, as_labels
from pixtrace.exceptions import DataError, DtypeError, ParameterError, ShapeError
from pixtrace.trace.image import DO_NOT_USE, SpectralImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

__all__ = ["Cube", "SeriesChunk", "SpectralSeries", "chunk_length", "chunks_of"]

#: Flux, error and variances of some integrations, as the core takes them.
NativeChunk: TypeAlias = "tuple[FloatArray, FloatArray | None, list[FloatArray]]"

_DEFAULT_MEMORY = 128_000_000
_N_AXES = 3


class Cube(Protocol):
    """What is sliced along its first axis, the integrations: an array, a memory map, a dataset of h5py."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the three axes: (n_integrations, n_y, n_x)."""
        ...

    def __getitem__(self, key: slice, /) -> Any:  # noqa: ANN401 - whatever numpy takes as an array
        """Return the integrations from ``key.start`` to ``key.stop``."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesChunk:
    """Some integrations, read.

    Attributes
    ----------
    start, stop : int
        The first integration, and one past the last.
    flux : ndarray, shape (stop - start, n_y, n_x)
        Flux, NaN where data quality says DO_NOT_USE.
    error : ndarray or None
        Its error.
    dq : ndarray of uint32, or None
        Data quality.
    variances : dict of str to ndarray
        Variances by name.
    """

    start: int
    stop: int
    flux: FloatArray
    error: FloatArray | None
    dq: npt.NDArray[np.uint32] | None
    variances: dict[str, FloatArray]

    @property
    def native(self) -> NativeChunk:
        """The planes as the core takes them."""
        return self.flux, self.error, list(self.variances.values())


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SpectralSeries:
    """A time series: one spectral image again and again, the slices where they were, the source about as bright.

    Cubes are read some integrations at a time, several times over, and nothing else is kept of them.

    Attributes
    ----------
    flux : Cube, shape (n_integrations, n_y, n_x)
        Anything that has a shape and can be sliced along its first axis: an array, a ``numpy.memmap``, a dataset of
        h5py. Dispersion along the last axis; any unit. NaN and infinities are missing data.
    alpha, region_map : ndarray, shape (n_y, n_x)
        As in `SpectralImage`; the same for all integrations.
    error : Cube, optional
        Standard deviation of the flux. A pixel whose error is not finite and positive takes no part in the scale of
        its integration.
    dq : Cube of int, optional
        Data-quality bits; pixels with `DO_NOT_USE` are missing.
    variances : mapping of str to Cube, optional
        Variances by name, to be oversampled with the flux.
    wavelength : ndarray, shape (n_y, n_x), optional
        As in `SpectralImage`.
    flipped, flux_is_density : bool, optional
        As in `SpectralImage`.
    name : str, optional
        Name for messages.

    Raises
    ------
    ShapeError
        A cube has not three axes, no integration or no pixel, or the shapes do not go together.
    DtypeError, DataError, ParameterError
        As in `SpectralImage`.
    """

    flux: Cube
    alpha: npt.NDArray[np.float64]
    region_map: npt.NDArray[np.int32]
    error: Cube | None = None
    dq: Cube | None = None
    variances: Mapping[str, Cube] = field(default_factory=dict)
    wavelength: npt.NDArray[np.float64] | None = None
    flipped: bool = False
    flux_is_density: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        """Check the shapes."""
        where = f" of time series {self.name!r}" if self.name else ""
        variances: object = self.variances
        if not isinstance(variances, Mapping):
            msg = f"`variances{where}` is a {type(variances).__name__}; expected a mapping of names to cubes"
            raise ParameterError(msg)
        shape = _shape_of(self.flux, f"flux{where}")
        if len(shape) != _N_AXES or 0 in shape:
            msg = f"`flux{where}` has shape {shape}; expected (n_integrations, n_y, n_x), none of them zero"
            raise ShapeError(msg)
        for name, cube in (("error", self.error), ("dq", self.dq), *self.variances.items()):
            found = shape if cube is None else _shape_of(cube, f"{name}{where}")
            if found != shape:
                msg = f"`{name}{where}` has shape {found}; expected {shape}, the shape that goes with `flux`"
                raise ShapeError(msg)
        planes = {
            "alpha": as_floating(self.alpha, f"alpha{where}", dtype=np.float64),
            "region_map": as_labels(self.region_map, f"region_map{where}"),
        }
        if self.wavelength is not None:
            planes["wavelength"] = as_floating(self.wavelength, f"wavelength{where}", dtype=np.float64)
        for name, plane in planes.items():
            if plane.shape != shape[1:]:
                msg = (
                    f"`{name}{where}` has shape {plane.shape}; expected {shape[1:]}, the shape of one integration "
                    "of `flux`"
                )
                raise ShapeError(msg)
            object.__setattr__(self, name, plane)
        as_flag(self.flipped, f"flipped{where}")
        as_flag(self.flux_is_density, f"flux_is_density{where}")

    def __repr__(self) -> str:
        n, n_y, n_x = self.flux.shape
        name = f" {self.name!r}" if self.name else ""
        return f"<SpectralSeries{name}: {n} integrations of {n_y} x {n_x} pixels>"

    @property
    def label(self) -> str:
        """How messages call it.

        Returns
        -------
        str
            Such as "time series 'S1600A1'".
        """
        return f"time series {self.name!r}" if self.name else "the time series"

    @property
    def n_integrations(self) -> int:
        """Number of integrations.

        Returns
        -------
        int
            At least 1.
        """
        return int(self.flux.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one integration.

        Returns
        -------
        tuple of int
            (n_y, n_x).
        """
        return int(self.flux.shape[1]), int(self.flux.shape[2])

    def read(self, start: int, stop: int) -> SeriesChunk:
        """Read some integrations.

        Parameters
        ----------
        start, stop : int
            The first integration, and one past the last.

        Returns
        -------
        SeriesChunk
            Their planes, in the byte order of the machine.

        Raises
        ------
        ShapeError
            A cube does not hold what its shape says.
        DtypeError, DataError
            As in `SpectralImage`.
        """
        return self._chunk(start, stop, slice(start, stop))

    def sample(self, n: int) -> SeriesChunk:
        """Read integrations that are evenly spread over the series.

        Parameters
        ----------
        n : int
            How many, at most.

        Returns
        -------
        SeriesChunk
            Their planes; `start` and `stop` count them.
        """
        n = min(n, self.n_integrations)
        places = np.linspace(0, self.n_integrations - 1, n).round().astype(int).tolist()
        chunks = [self.read(place, place + 1) for place in places]

        def joined(planes: list[Any]) -> Any:  # noqa: ANN401
            return None if planes[0] is None else np.concatenate(planes)

        return SeriesChunk(
            start=0,
            stop=n,
            flux=joined([chunk.flux for chunk in chunks]),
            error=joined([chunk.error for chunk in chunks]),
            dq=None,
            variances={},
        )

    def image(
        self, flux: FloatArray, error: FloatArray | None, variances: Mapping[str, FloatArray] | None = None
    ) -> SpectralImage:
        """Return an image where the integrations are, such as their mean.

        Parameters
        ----------
        flux : ndarray, shape (n_y, n_x)
            Its flux.
        error : ndarray or None
            Its error.
        variances : mapping of str to ndarray, optional
            Its variances.

        Returns
        -------
        SpectralImage
            The image.
        """
        return SpectralImage(
            flux=flux,
            error=error,
            variances=dict(variances or {}),
            alpha=self.alpha,
            region_map=self.region_map,
            wavelength=self.wavelength,
            flipped=self.flipped,
            flux_is_density=self.flux_is_density,
            name=self.name,
        )

    def _chunk(self, start: int, stop: int, key: slice) -> SeriesChunk:
        where = f" of {self.label}, integrations {start} to {stop - 1}"
        expected = (stop - start, *self.shape)

        def read(cube: Cube, name: str) -> Any:  # noqa: ANN401
            array = cube[key]
            if np.shape(array) != expected:
                msg = f"`{name}{where}` have shape {np.shape(array)}; expected {expected}"
                raise ShapeError(msg)
            return array

        flux = as_floating(read(self.flux, "flux"), f"flux{where}", ndim=_N_AXES)
        dq = None if self.dq is None else _bits(read(self.dq, "dq"), f"dq{where}")
        if dq is not None:
            unusable = (dq & DO_NOT_USE).astype(bool)
            if unusable.any():
                flux = np.where(unusable, flux.dtype.type(np.nan), flux)
        others = {"error": self.error, **self.variances}
        planes = {
            name: as_floating(read(cube, name), f"{name}{where}", ndim=_N_AXES, dtype=flux.dtype)
            for name, cube in others.items()
            if cube is not None
        }
        error = planes.pop("error", None) if self.error is not None else None
        return SeriesChunk(start=start, stop=stop, flux=flux, error=error, dq=dq, variances=planes)


def _shape_of(cube: object, name: str) -> tuple[int, ...]:
    """Return the shape of a cube, and complain of what has none."""
    shape = getattr(cube, "shape", None)
    if not isinstance(shape, tuple) or not hasattr(cube, "__getitem__"):
        msg = (
            f"`{name}` is a {type(cube).__name__}; expected something with a shape that can be sliced along its first "
            "axis, such as an array or a numpy.memmap"
        )
        raise DtypeError(msg)
    return tuple(int(length) for length in shape)


def _bits(values: Any, name: str) -> npt.NDArray[np.uint32]:  # noqa: ANN401
    """Return data-quality bits of 32 bits."""
    array = np.asarray(values)
    if array.dtype.kind not in "iub":
        msg = f"`{name}` has dtype {array.dtype}; expected integers (bits)"
        raise DtypeError(msg)
    if array.dtype.itemsize > 4:  # noqa: PLR2004 - more than 32 bits
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= 1 << 32:
            msg = f"`{name}` has values from {low} to {high}; expected 32 bits"
            raise DataError(msg)
    return array.astype(np.uint32, copy=False)


def chunk_length(
    series: SpectralSeries, chunk: int | None, memory: int | None, *, n_fine: int = 0, n_planes: int = 0
) -> int:
    """Return how many integrations are worked on at a time.

    Parameters
    ----------
    series : SpectralSeries
        The series.
    chunk : int or None
        How many, if it is said.
    memory : int or None
        Otherwise, bytes that they may take; None allows 128 MB.
    n_fine : int, optional
        Fine rows that are made of them.
    n_planes : int, optional
        Planes of fine rows, apart from data quality.

    Returns
    -------
    int
        From 1 to the number of integrations.

    Raises
    ------
    ParameterError
        `chunk` or `memory` is not a whole number above zero.
    """
    if chunk is not None:
        return min(as_count(chunk, "chunk", least=1), series.n_integrations)
    budget = _DEFAULT_MEMORY if memory is None else as_count(memory, "memory", least=1)
    itemsize = min(max(np.dtype(getattr(series.flux, "dtype", np.float64)).itemsize, 4), 8)
    n_cubes = 1 + (series.error is not None) + len(series.variances)
    # Each cube as it is read and as it is converted, and what the core keeps of each pixel in double precision. Of fine
    # chunks the caller has one, and the next one is made, and a third one is read.
    n_read = 3 if n_fine else 2
    native = n_read * itemsize * n_cubes + 4 * n_read * (series.dq is not None) + 8 * (4 + len(series.variances))
    fine = 2 * (itemsize * n_planes + 4) if n_fine else 0
    n_y, n_x = series.shape
    per_integration = n_x * (n_y * native + n_fine * fine)
    return int(min(max(budget // per_integration, 1), series.n_integrations))


def chunks_of(series: SpectralSeries, length: int) -> Iterator[SeriesChunk]:
    """Read a time series, some integrations at a time.

    Parameters
    ----------
    series : SpectralSeries
        The series.
    length : int
        How many at a time.

    Yields
    ------
    SeriesChunk
        The integrations, in order.
    """
    for start in range(0, series.n_integrations, length):
        yield series.read(start, min(start + length, series.n_integrations))
