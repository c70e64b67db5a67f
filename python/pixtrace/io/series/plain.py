"""Time series of the plain format that `pixtrace.io.fits` describes, read and written some integrations at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError, FileReadError, PixtraceError
from pixtrace.io.fits import product_keywords
from pixtrace.io.fits_read import axis_of, check_regions, index_of, name_of, refuse_oversampled
from pixtrace.io.fits_write import carried_over, describe, refine_wcs, variance_extension
from pixtrace.io.fitsfile import extension_label, find_extension, open_fits, read_array
from pixtrace.io.jwst.container import read_container
from pixtrace.io.jwst.pieces import Piece
from pixtrace.io.series.base import SeriesFile
from pixtrace.io.series.cube import FileCube
from pixtrace.io.series.writer import CubePiece, array_piece
from pixtrace.trace.oversample import alpha_on_grid, nearest_rows
from pixtrace.trace.params import PRESETS, TraceParams
from pixtrace.trace.series_cube import SpectralSeries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from pixtrace.io.jwst.container import FitsContainer
    from pixtrace.trace.series import TimeSeriesModel
    from pixtrace.trace.series_oversample import OversampledChunk

__all__ = ["PlainSeries"]

_N_AXES = 3
#: Extensions of the product, and the planes of `OversampledChunk` that they hold.
_CUBES = {"SCI": "flux", "ERR": "error", "DQ": "dq", "TRACE": "trace_used"}
_INTERMEDIATE = {"TRACE_FULL": "full_trace", "LINEAR": "linear_flux", "RESIDUAL": "residual_flux"}


class PlainSeries(SeriesFile):
    """A file of the plain format whose SCI are cubes.

    Parameters
    ----------
    path : path-like
        The file, packed with gzip or not; a packed one is unpacked into memory.
    preset : str, optional
        Name of the parameter set; None takes the file's PIXPRSET, or "generic".

    Attributes
    ----------
    path : Path
        The file.
    params : TraceParams
        Parameters of the preset.
    series : tuple of SpectralSeries
        Its time series, by EXTVER.

    Raises
    ------
    FileReadError, DataError, ShapeError, DtypeError, ParameterError
        See `pixtrace.io.fits.FitsExposure.open`; DataError also if a SCI is no cube.
    """

    def __init__(self, path: Path, preset: str | None = None) -> None:
        self.path = Path(path)
        with open_fits(self.path) as hdus:
            primary = hdus[0].header
            refuse_oversampled(self.path, primary)
            self._preset = str(primary.get("PIXPRSET", "generic")).strip() if preset is None else preset
            if preset is None and self._preset not in PRESETS:
                msg = f"{self.path}: PIXPRSET = {self._preset!r}; expected one of {', '.join(PRESETS)}"
                raise DataError(msg)
            self.params = TraceParams.preset(self._preset)
            self._versions = sorted({int(hdu.ver) for hdu in hdus if hdu.name.upper() == "SCI"})
            if not self._versions:
                msg = f"{self.path} has no extension SCI"
                raise FileReadError(msg)
            self._primary = primary.copy()
            container = read_container(self.path)
            opened = [self._read(hdus, container, version) for version in self._versions]
            self._sci = [hdus[find_extension(hdus, "SCI", version)].header.copy() for version in self._versions]
        self.series = tuple(series for series, _ in opened)
        self._axes = tuple(axis for _, axis in opened)
        self._output_name = f"{self.name.removesuffix('.gz').removesuffix('.fits')}_oversampled.fits"

    def _read(self, hdus: Any, container: FitsContainer, version: int) -> tuple[SpectralSeries, int]:  # noqa: ANN401
        """Return one time series, and the axis of its images in the file along which the light is dispersed."""
        sci, primary = hdus[index_of(hdus, "SCI", version, self.path)].header, hdus[0].header
        label = extension_label("SCI", version)
        axis = axis_of(sci, primary, self.path)
        n = int(sci.get("NAXIS3", 0))
        if int(sci.get("NAXIS", 0)) != _N_AXES:
            msg = f"{self.path}, {label} has {sci.get('NAXIS', 0)} axes; expected a time series: x, y and integrations"
            raise DataError(msg)

        def cube(name: str, dtype: npt.DTypeLike | None = None) -> FileCube | None:
            unit = container.find(name, version)
            return None if unit is None else FileCube(unit, _turn(axis), n, dtype)

        def plane(name: str) -> npt.NDArray[Any] | None:
            index = find_extension(hdus, name, version)
            return None if index is None else _turn(axis)(read_array(hdus, index, self.path))

        for name in ("ALPHA", "REGIONS"):
            index_of(hdus, name, version, self.path)
        names = [hdu.name.upper() for hdu in hdus[1:] if hdu.ver == version]
        planes: dict[str, Any] = {"alpha": plane("ALPHA"), "region_map": plane("REGIONS")}
        planes |= {"wavelength": plane("WAVELENGTH"), "flux": cube("SCI"), "error": cube("ERR"), "dq": cube("DQ")}
        try:
            series = SpectralSeries(
                **planes,
                variances={name.lower(): cube(name) for name in names if name.startswith("VAR_")},  # type: ignore[misc]
                flux_is_density=sci.get("FLUXDENS", primary.get("FLUXDENS", False)) is True,
                name=name_of(sci, primary) or (label if len(self._versions) > 1 else ""),
            )
        except PixtraceError as error:
            msg = f"{self.path}, {label} and what belongs to it: {error}"
            raise type(error)(msg) from error
        check_regions(series.region_map, series.alpha, self.path, version)
        return series, axis

    def _fine_planes(self, index: int, factor: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
        series = self.series[index]
        alpha = alpha_on_grid(series.alpha, series.region_map, factor)
        if series.wavelength is None:
            return alpha, None
        return alpha, alpha_on_grid(series.wavelength, series.region_map, factor)

    def _cubes(self, chunk: OversampledChunk, *, intermediate: bool) -> dict[str, Any]:
        cubes = _CUBES | (_INTERMEDIATE if intermediate else {})
        planes: dict[str, Any] = {name: getattr(chunk, attribute) for name, attribute in cubes.items()}
        return planes | {variance_extension(name): plane for name, plane in chunk.variances.items()}

    def _turned(self, index: int, cube: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return _turn(self._axes[index])(cube)

    def _pieces(
        self, name: str, models: Sequence[TimeSeriesModel], factor: float, *, intermediate: bool
    ) -> Iterator[Piece]:
        del name
        cubes = [*_CUBES, *(_INTERMEDIATE if intermediate else {})]
        from astropy.io import fits

        primary = carried_over(self._primary)
        for name, card in product_keywords(self._preset, models[0].params, factor).items():
            primary[name] = card
        yield Piece(fits.PrimaryHDU(header=primary).header, list)
        for index, series in enumerate(self.series):
            version, axis, turn = self._versions[index], self._axes[index], _turn(self._axes[index])
            dtype = models[index].mean.flux.dtype
            rows = nearest_rows(series.shape[0], factor)
            shape = (series.n_integrations, *turn(np.empty((rows.size, series.shape[1]), dtype=np.bool_)).shape)
            names = [name for name in cubes if name != "ERR" or series.error is not None]
            if series.error is not None:
                names += [variance_extension(name) for name in series.variances]
            types = {name: np.dtype(np.uint32 if name == "DQ" else np.float32) for name in names}
            types |= {name: dtype for name in names if name in {"SCI", "TRACE", *_INTERMEDIATE}}
            for name in names:
                piece = CubePiece(name, version, shape, types[name])
                if name == "SCI":
                    header = carried_over(self._sci[index])
                    refine_wcs(header, axis=1 if axis == 0 else 2, factor=factor)
                    describe(header, series.name, axis, flux_is_density=series.flux_is_density)
                    piece.header.extend(header, update=True, strip=False)
                yield piece
            alpha, wavelength = self._fine_planes(index, factor)
            planes: dict[str, npt.NDArray[Any] | None] = {
                "ALPHA": alpha,
                "REGIONS": series.region_map[rows],
                "WAVELENGTH": wavelength,
            }
            for name, plane in planes.items():
                if plane is not None:
                    yield array_piece(name, version, turn(plane))


def _turn(axis: int) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    """Return what turns arrays of the file into the orientation of the computation, and back."""

    def turn(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.swapaxes(array, -1, -2) if axis == 0 else array

    return turn
