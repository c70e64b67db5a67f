"""The plain format: a multi-extension FITS file for every spectrograph, read without any optional package.

An image is a set of extensions with the same EXTVER; a file may hold several images (slits, detectors), with EXTVER 1,
2, ... Every plane of an image has the shape of its SCI.

================  =============================  ====================================================================
extension         type                           content
================  =============================  ====================================================================
SCI               float (n_y, n_x)               flux, any unit (BUNIT). NaN where missing. (n_int, n_y, n_x) is a time
                                                 series: its median image is used, and only its trace can be made
                                                 (`pixtrace.io.series` takes all integrations)
ALPHA             float (n_y, n_x)               coordinate along the slice [arcsec, or any one unit]; NaN outside
REGIONS           integer (n_y, n_x)             number of the slice or slit, 0 between them
ERR               float, shape of SCI            optional: standard deviation of SCI
DQ                integer (n_y, n_x)             optional: data-quality bits; 1 = do not use, 2**28 = flux estimated
WAVELENGTH        float (n_y, n_x)               optional: wavelength [um, or any unit]
VAR_*             float (n_y, n_x)               optional: variances, any number of them (not for a time series)
================  =============================  ====================================================================

Keywords, in the header of SCI or in the primary header:

========  ===========================================================================================================
DISPAXIS  FITS axis along which the light is dispersed: 1 (x, the default) or 2 (y)
FLUXDENS  T if the flux is an amount per pixel, so that each of N parts of a pixel holds 1/N of it (default F)
PIXPRSET  name of the parameter set to use (`pixtrace.trace.params.PRESETS`; default "generic")
SLTNAME   name of the image for messages and plots
PIXFACT   factor by which the file has been oversampled already; such a file is not taken as input
========  ===========================================================================================================

A product has the same extensions, the rows (for DISPAXIS 2 the columns) refined by PIXFACT, and in addition TRACE (the
spline model where it was used, in the unit of SCI) and, on request, TRACE_FULL (the model everywhere), LINEAR (the flux
interpolated linearly) and RESIDUAL (flux minus model). All other keywords of the primary header and of SCI are carried
over, and a celestial or spectral WCS in SCI is refined with the pixels. The product of factor 1 holds the planes of the
input as they were, and TRACE.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pixtrace.exceptions import DataError, FileReadError, ParameterError
from pixtrace.io.fits_change import write_changed
from pixtrace.io.fits_read import read_version, refuse_oversampled
from pixtrace.io.fits_write import HeaderSource, write_results, write_traces
from pixtrace.io.fitsfile import find_extension, open_fits
from pixtrace.trace.oversample import alpha_on_grid
from pixtrace.trace.params import PRESETS, TraceParams

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    import numpy as np
    import numpy.typing as npt

    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.replace import ChangedImage
    from pixtrace.trace.result import OversampledImage

__all__ = ["DEFAULT_PRESET", "FitsExposure", "product_keywords"]

DEFAULT_PRESET = "generic"  # of a file that names none


class FitsExposure:
    """A file of the plain format, read into memory; an `pixtrace.io.exposure.Exposure`.

    Make it with `open`. Its attributes and methods are described by the protocol.

    Parameters
    ----------
    path : Path
        The file.
    images : sequence of (SpectralImage, int)
        Its images, by EXTVER, and the axis of the arrays in the file along which each is dispersed.
    preset : str
        Name of the parameter set.
    headers : HeaderSource
        Its headers.

    Attributes
    ----------
    name : str
        Name of the file without directory.
    kind : str
        "fits".
    params : TraceParams
        Parameters of the preset.
    """

    kind = "fits"

    def __init__(
        self, path: Path, images: Sequence[tuple[SpectralImage, int]], preset: str, headers: HeaderSource
    ) -> None:
        self.path = path
        self.name = path.name
        self.images = tuple(image for image, _ in images)
        self.params = TraceParams.preset(preset)
        self._axes = tuple(axis for _, axis in images)
        self._preset = preset
        self._headers = headers

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, preset: str | None = None) -> Self:
        """Read a file.

        Parameters
        ----------
        path : path-like
            The file, packed with gzip or not.
        preset : str, optional
            Name of the parameter set; None takes the file's PIXPRSET, or "generic".

        Returns
        -------
        FitsExposure
            The exposure.

        Raises
        ------
        FileReadError
            The file cannot be read, or an extension is missing or unreadable.
        DataError
            It has been oversampled already, it has no region, or a keyword has an impossible value.
        ShapeError, DtypeError
            An extension does not fit its SCI.
        ParameterError
            There is no such preset.
        """
        path = Path(path)
        with open_fits(path) as hdus:
            primary = hdus[0].header
            refuse_oversampled(path, primary)
            name = str(primary.get("PIXPRSET", DEFAULT_PRESET)).strip() if preset is None else preset
            if preset is None and name not in PRESETS:
                msg = f"{path}: PIXPRSET = {name!r}; expected one of {', '.join(PRESETS)}"
                raise DataError(msg)
            TraceParams.preset(name)
            versions = sorted({int(hdu.ver) for hdu in hdus if hdu.name.upper() == "SCI"})
            if not versions:
                found = ", ".join(hdu.name or "(unnamed)" for hdu in hdus)
                msg = f"{path} has no extension SCI; it has {found}, and SCI, ALPHA and REGIONS are needed"
                raise FileReadError(msg)
            images = [read_version(hdus, version, path, several=len(versions) > 1) for version in versions]
            headers = HeaderSource(
                primary=primary.copy(),
                sci=tuple(hdus[find_extension(hdus, "SCI", version)].header.copy() for version in versions),
            )
        return cls(path, images, name, headers)

    @property
    def n_integrations(self) -> int:
        """Largest number of integrations of an image.

        Returns
        -------
        int
            1 unless SCI is a cube.
        """
        return max(image.n_integrations for image in self.images)

    def alpha_os(self, index: int, factor: float) -> npt.NDArray[np.float64]:
        """Return alpha on the oversampled grid, interpolated along each column inside each region.

        Parameters
        ----------
        index : int
            Which image.
        factor : float
            Oversampling factor, at least 1.

        Returns
        -------
        ndarray of float64, shape (ceil(n_y * factor), n_x)
            Alpha; NaN outside the regions.
        """
        image = self.images[index]
        return alpha_on_grid(image.alpha, image.region_map, factor)

    @property
    def unit(self) -> str:
        """Unit of the flux (BUNIT of the first SCI, or of the primary header).

        Returns
        -------
        str
            "" if the file does not say.
        """
        return str(self._headers.sci[0].get("BUNIT", self._headers.primary.get("BUNIT", ""))).strip()

    def wavelength(self, index: int) -> npt.NDArray[np.float64] | None:
        """Return the wavelength of each pixel.

        Parameters
        ----------
        index : int
            Which image.

        Returns
        -------
        ndarray of float64, shape (n_y, n_x), or None
            Extension WAVELENGTH, None if there is none.
        """
        return self.images[index].wavelength

    def output_name(self, factor: float) -> str:
        """Return the name that the product is given by default, without directory.

        Parameters
        ----------
        factor : float
            Oversampling factor; 1 for the trace alone.

        Returns
        -------
        str
            The input's name with ``_oversampled`` or ``_trace`` added, and not packed.
        """
        stem = self.path.name.removesuffix(".gz").removesuffix(".fits")
        return f"{stem}_{'trace' if factor == 1 else 'oversampled'}.fits"

    def save(
        self,
        results: Sequence[OversampledImage],
        path: Path,
        *,
        overwrite: bool = False,
        intermediate: bool = False,
    ) -> list[Path]:
        """Write the product of all images into one file.

        Parameters
        ----------
        results : sequence of OversampledImage
            One per image, all with the same factor.
        path : Path
            The file; one that ends in ``.gz`` is packed.
        overwrite : bool, optional
            Whether a file that is there already may be replaced.
        intermediate : bool, optional
            Whether TRACE_FULL, LINEAR and RESIDUAL are written too, as far as the results hold them.

        Returns
        -------
        list of Path
            The file.

        Raises
        ------
        ParameterError
            The results do not belong to the images.
        OutputExistsError, OutputError
            It cannot be written.
        """
        factors = {result.factor for result in results}
        if len(results) != len(self.images) or len(factors) != 1:
            msg = (
                f"{len(results)} results with factors {sorted(factors)} for the {len(self.images)} images of "
                f"{self.path}; expected one per image, all with the same factor"
            )
            raise ParameterError(msg)
        path, factor = Path(path), factors.pop()
        keywords = product_keywords(self._preset, results[0].params, factor)
        if factor == 1:
            write_traces(
                path,
                results,
                source=self.path,
                dispersion_axes=self._axes,
                keywords=keywords,
                overwrite=overwrite,
                intermediate=intermediate,
            )
        else:
            write_results(
                path,
                results,
                self.images,
                source=self._headers,
                dispersion_axes=self._axes,
                keywords=keywords,
                overwrite=overwrite,
                intermediate=intermediate,
            )
        return [path]

    def save_changed(
        self, changed: Sequence[ChangedImage], path: Path, *, history: str, overwrite: bool = False
    ) -> Path:
        """Write the file with the planes of its images changed, and all else as it is.

        Parameters
        ----------
        changed : sequence of ChangedImage
            One per image.
        path : Path
            The file; one that ends in ``.gz`` is packed. What was taken off the flux stands there as TRACE.
        history : str
            What was done, for the primary header.
        overwrite : bool, optional
            Whether a file that is there already may be replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        FileReadError
            The file cannot be read any more.
        OutputExistsError, OutputError
            It cannot be written.
        """
        write_changed(path, changed, source=self.path, dispersion_axes=self._axes, history=history, overwrite=overwrite)
        return path

    def close(self) -> None:
        """Do nothing: the file has been read and closed."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Do nothing."""


def product_keywords(preset: str, params: TraceParams, factor: float) -> dict[str, tuple[object, str]]:
    """Return the cards that tell how a product was made.

    Parameters
    ----------
    preset : str
        Name of the parameter set.
    params : TraceParams
        The parameters.
    factor : float
        Oversampling factor.

    Returns
    -------
    dict of str to (value, comment)
        The cards.
    """
    from pixtrace import __version__

    return {
        "PIXPRSET": (preset, "pixtrace parameter set"),
        "PIXFACT": (factor, "factor of oversampling across the dispersion"),
        "PIXFTHR": (params.fit_threshold, "fit threshold [standard deviations]"),
        "PIXSLOPE": (params.slope_limit, "slope of a compact source"),
        "PIXPSFOP": (params.psf_optimal, "spline alone, everywhere"),
        "PIXVERS": (__version__, "version of pixtrace"),
    }
