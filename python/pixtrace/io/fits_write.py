"""Writing the plain format that `pixtrace.io.fits` describes."""

from __future__ import annotations

import gzip
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pixtrace.io.atomic import atomic_path
from pixtrace.io.fitsfile import open_fits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.result import OversampledImage

__all__ = [
    "HeaderSource",
    "carried_over",
    "describe",
    "image_extensions",
    "refine_wcs",
    "variance_extension",
    "write_images",
    "write_results",
    "write_traces",
]

#: An array and the header of its extension.
Extension: TypeAlias = "tuple[npt.NDArray[Any], Any]"

#: Structure of the file, and what is written anew.
_OWN_KEYWORDS = frozenset(
    {
        "SIMPLE",
        "BITPIX",
        "NAXIS",
        "NAXIS1",
        "NAXIS2",
        "NAXIS3",
        "EXTEND",
        "XTENSION",
        "PCOUNT",
        "GCOUNT",
        "EXTNAME",
        "EXTVER",
        "BSCALE",
        "BZERO",
        "BLANK",
        "CHECKSUM",
        "DATASUM",
        "PIXFACT",
    }
)
_TRACE_EXTENSIONS = ("TRACE", "TRACE_FULL")
_WCS_AXES = 9
_GZIP_LEVEL = 4  # twice as fast as 6, and hardly larger for noise
_WCS_ALTERNATIVES = ("", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, kw_only=True, eq=False)
class HeaderSource:
    """The headers that a product takes over from its input.

    Attributes
    ----------
    primary : astropy.io.fits.Header
        Primary header.
    sci : tuple of astropy.io.fits.Header
        Header of SCI of each image.
    """

    primary: Any
    sci: tuple[Any, ...]


def write_images(
    path: Path,
    images: Sequence[SpectralImage],
    *,
    dispersion_axis: int,
    keywords: Mapping[str, tuple[object, str]],
    overwrite: bool,
) -> None:
    """Write images as a file of the plain format.

    Parameters
    ----------
    path : Path
        The file.
    images : sequence of SpectralImage
        The images; EXTVER counts them from 1.
    dispersion_axis : {1, 0}
        Axis of the arrays in the file along which the light is dispersed.
    keywords : mapping of str to (value, comment)
        Cards for the primary header.
    overwrite : bool
        Whether a file that is there already may be replaced.

    Raises
    ------
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    from astropy.io import fits

    def extensions() -> Iterator[Extension]:
        for version, image in enumerate(images, start=1):
            header = fits.Header()
            describe(header, image.name, dispersion_axis, flux_is_density=image.flux_is_density)
            yield from image_extensions(_image_planes(image), version, header, dispersion_axis)

    _write(path, _primary(keywords, None), extensions(), overwrite=overwrite)


def write_results(
    path: Path,
    results: Sequence[OversampledImage],
    images: Sequence[SpectralImage],
    *,
    source: HeaderSource,
    dispersion_axes: Sequence[int],
    keywords: Mapping[str, tuple[object, str]],
    overwrite: bool,
    intermediate: bool,
) -> None:
    """Write what was made of the images of a file, with the headers of that file.

    Parameters
    ----------
    path : Path
        The file.
    results : sequence of OversampledImage
        The results, in the order of `images`.
    images : sequence of SpectralImage
        The images they were made from.
    source : HeaderSource
        Headers to take over.
    dispersion_axes : sequence of {1, 0}
        Axis of the arrays of each image in the file along which the light is dispersed.
    keywords : mapping of str to (value, comment)
        Cards for the primary header.
    overwrite : bool
        Whether a file that is there already may be replaced.
    intermediate : bool
        Whether the full trace, the linear image and the residual are written.

    Raises
    ------
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """

    def extensions() -> Iterator[Extension]:
        for version, (result, image, old, axis) in enumerate(
            zip(results, images, source.sci, dispersion_axes, strict=True), start=1
        ):
            header = carried_over(old)
            # The spatial axis is the one that is not dispersed; numpy's axis 0 of an image is FITS axis 2.
            refine_wcs(header, axis=1 if axis == 0 else 2, factor=result.factor)
            describe(header, image.name, axis, flux_is_density=image.flux_is_density)
            yield from image_extensions(_result_planes(result, intermediate=intermediate), version, header, axis)

    _write(path, _primary(keywords, source.primary), extensions(), overwrite=overwrite)


def write_traces(
    path: Path,
    results: Sequence[OversampledImage],
    *,
    source: Path,
    dispersion_axes: Sequence[int],
    keywords: Mapping[str, tuple[object, str]],
    overwrite: bool,
    intermediate: bool,
) -> None:
    """Write a copy of a file with the traces of its images added.

    Parameters
    ----------
    path : Path
        The file to be written.
    results : sequence of OversampledImage
        The results for factor 1, in the order of the images' EXTVER.
    source : Path
        The file that the images were read from; all its extensions are copied.
    dispersion_axes : sequence of {1, 0}
        Axis of the arrays of each image in the file along which the light is dispersed.
    keywords : mapping of str to (value, comment)
        Cards for the primary header.
    overwrite : bool
        Whether a file that is there already may be replaced.
    intermediate : bool
        Whether the full trace is written too.

    Raises
    ------
    FileReadError
        The source cannot be read any more.
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    from astropy.io import fits

    with open_fits(source) as old:
        hdus = [hdu for hdu in old if hdu.name.upper() not in _TRACE_EXTENSIONS]
        for name, card in keywords.items():
            hdus[0].header[name] = card
        versions = sorted({int(hdu.ver) for hdu in hdus if hdu.name.upper() == "SCI"})
        for version, result, axis in zip(versions, results, dispersion_axes, strict=True):
            planes = [("TRACE", result.trace_used), ("TRACE_FULL", result.full_trace if intermediate else None)]
            added = image_extensions(iter(planes), version, fits.Header(), axis)
            hdus.extend(fits.ImageHDU(array, header) for array, header in added)
        with atomic_path(path, overwrite=overwrite) as partial:
            fits.HDUList(hdus).writeto(partial, output_verify="silentfix")


def refine_wcs(header: Any, *, axis: int, factor: float) -> None:  # noqa: ANN401 - astropy has no types
    """Change the linear WCS of a header, in place, to that of pixels `factor` times finer along one axis.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The header; every alternative WCS in it is changed. Nothing happens if it has none.
    axis : int
        FITS axis whose pixels are refined, 1 or 2.
    factor : float
        Oversampling factor.
    """
    if factor == 1:
        return
    for letter in _WCS_ALTERNATIVES:
        reference = f"CRPIX{axis}{letter}"
        present = [f"{kind}{i}_{j}{letter}" for kind in ("CD", "PC") for i in range(1, _WCS_AXES) for j in (1, 2)]
        present = [name for name in present if name in header]
        if not present and reference not in header and f"CDELT{axis}{letter}" not in header:
            continue
        header[reference] = (float(header.get(reference, 0.0)) - 0.5) * factor + 0.5
        if present:
            if any(name.startswith("PC") for name in present):
                header.setdefault(f"PC{axis}_{axis}{letter}", 1.0)
            for i in range(1, _WCS_AXES):
                for kind in ("CD", "PC"):
                    name = f"{kind}{i}_{axis}{letter}"
                    if name in header:
                        header[name] = float(header[name]) / factor
        else:
            header[f"CDELT{axis}{letter}"] = float(header.get(f"CDELT{axis}{letter}", 1.0)) / factor


def _primary(keywords: Mapping[str, tuple[object, str]], old: Any) -> Any:  # noqa: ANN401
    """Return the primary unit: no data, the old cards and the new ones."""
    from astropy.io import fits

    header = carried_over(old) if old is not None else fits.Header()
    for name, card in keywords.items():
        header[name] = card
    return fits.PrimaryHDU(header=header)


def carried_over(old: Any) -> Any:  # noqa: ANN401
    """Return a copy of a header without the cards that describe the structure of its unit.

    Parameters
    ----------
    old : astropy.io.fits.Header
        The header; not changed.

    Returns
    -------
    astropy.io.fits.Header
        The copy.
    """
    new = old.copy(strip=True)
    for name in _OWN_KEYWORDS & set(new):
        del new[name]
    return new


def describe(header: Any, name: str, dispersion_axis: int, *, flux_is_density: bool) -> None:  # noqa: ANN401
    """Write what the plain format asks for into the header of SCI.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The header, changed in place.
    name : str
        Name of the image, or "".
    dispersion_axis : {1, 0}
        Axis of the arrays in the file along which the light is dispersed.
    flux_is_density : bool
        Whether the flux is an amount per pixel.
    """
    header["DISPAXIS"] = (1 if dispersion_axis == 1 else 2, "FITS axis of dispersion, 1 = x, 2 = y")
    if flux_is_density:
        header["FLUXDENS"] = (True, "flux is an amount per pixel")
    if name:
        header["SLTNAME"] = (name, "name of the image")


def _image_planes(image: SpectralImage) -> Iterator[tuple[str, npt.NDArray[Any] | None]]:
    """Yield the extensions of an input."""
    yield "SCI", image.flux
    yield "ERR", image.error
    yield "DQ", image.dq
    yield "ALPHA", image.alpha
    yield "REGIONS", image.region_map
    yield "WAVELENGTH", image.wavelength
    for name, plane in image.variances.items():
        yield variance_extension(name), plane


def _result_planes(result: OversampledImage, *, intermediate: bool) -> Iterator[tuple[str, npt.NDArray[Any] | None]]:
    """Yield the extensions of a product."""
    yield "SCI", result.flux
    yield "ERR", result.error
    yield "DQ", result.dq
    yield "ALPHA", result.alpha
    yield "REGIONS", result.region_map
    yield "WAVELENGTH", result.wavelength
    for name, plane in result.variances.items():
        yield variance_extension(name), plane
    for rows, plane in enumerate(result.covariances, start=1):
        yield f"COVAR_{rows}", plane
    yield "TRACE", result.trace_used
    if intermediate:
        yield "TRACE_FULL", result.full_trace
        yield "LINEAR", result.linear_flux
        yield "RESIDUAL", result.residual_flux


def variance_extension(name: str) -> str:
    """Return the EXTNAME of a variance.

    Parameters
    ----------
    name : str
        Name of the variance.

    Returns
    -------
    str
        Beginning with ``VAR_``.
    """
    upper = name.upper()
    return upper if upper.startswith("VAR_") else f"VAR_{upper}"


def image_extensions(
    planes: Iterator[tuple[str, npt.NDArray[Any] | None]],
    version: int,
    sci_header: Any,  # noqa: ANN401
    dispersion_axis: int,
) -> Iterator[Extension]:
    """Yield the extensions of one image, turned into the orientation of the file."""
    from astropy.io import fits

    for name, plane in planes:
        if plane is None:
            continue
        header = sci_header if name == "SCI" else fits.Header()
        header["EXTNAME"] = name
        header["EXTVER"] = version
        array = np.ascontiguousarray(plane.T if dispersion_axis == 0 else plane)
        if np.may_share_memory(array, plane):
            # astropy swaps the bytes of writable arrays where they lie while it writes them
            array = array.view()
            array.flags.writeable = False
        yield array, header


def _write(path: Path, primary: Any, extensions: Iterator[Extension], *, overwrite: bool) -> None:  # noqa: ANN401
    """Write a file, all or nothing, and one extension at a time, so that only one is in memory turned and swapped."""
    from astropy.io import fits

    with atomic_path(path, overwrite=overwrite) as partial, ExitStack() as cleaning:
        is_packed = partial.suffix == ".gz"
        plain = partial.with_name(f"{partial.name}.plain") if is_packed else partial
        if is_packed:
            cleaning.callback(plain.unlink, missing_ok=True)
        primary.writeto(plain, output_verify="silentfix")
        for array, header in extensions:
            fits.append(plain, array, header, verify=False)
        if is_packed:
            with plain.open("rb") as whole, gzip.open(partial, "wb", compresslevel=_GZIP_LEVEL) as packed:
                shutil.copyfileobj(whole, packed)
