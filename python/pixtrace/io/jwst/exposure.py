"""A JWST exposure: an IFU image, a slit, or several slits, read for fitting and written as the product of the step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pixtrace.exceptions import ParameterError
from pixtrace.io.jwst.container import read_container
from pixtrace.io.jwst.product import PRODUCT_SUFFIX, Part, Product, write_changed, write_product
from pixtrace.io.jwst.reading import PLANES, ImageReader
from pixtrace.trace.params import TraceParams

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    import numpy as np
    import numpy.typing as npt

    from pixtrace.io.jwst.container import FitsContainer
    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.replace import ChangedImage
    from pixtrace.trace.result import OversampledImage

__all__ = ["JwstExposure", "params_of", "parts_of", "product_name"]

_INPUT_SUFFIXES = ("_cal", "_calints", "_crf", "_crfints", "_rate", "_rateints")


def product_name(name: str) -> str:
    """Return the default name of the product of a file, such as ``jw..._adaptive_trace_model.fits``.

    Parameters
    ----------
    name : str
        Name of the file.

    Returns
    -------
    str
        Name of the product.
    """
    stem = name
    for ending in (".gz", ".fits"):
        stem = stem.removesuffix(ending)
    suffix = next((suffix for suffix in _INPUT_SUFFIXES if stem.endswith(suffix)), "")
    return f"{stem.removesuffix(suffix)}{PRODUCT_SUFFIX}.fits"


def params_of(container: FitsContainer, preset: str | None) -> TraceParams:
    """Return the parameters of a preset, or those of the mode of a file.

    Parameters
    ----------
    container : FitsContainer
        The file.
    preset : str or None
        Name of the preset.

    Returns
    -------
    TraceParams
        The parameters.
    """
    names = (str(container.primary.get(key, "")).strip() for key in ("EXP_TYPE", "DETECTOR", "GRATING"))
    return TraceParams.preset(preset) if preset else TraceParams.for_mode(*names)


def parts_of(container: FitsContainer) -> list[Part]:
    """Return the images of a file: one, or one per slit.

    Parameters
    ----------
    container : FitsContainer
        The file.

    Returns
    -------
    list of Part
        The images.

    Raises
    ------
    FileReadError
        There is no flux, or a table where an image should be.
    """
    container.require("SCI", why="which holds the flux")
    container.check_images(PLANES)
    is_multi = str(container.primary.get("DATAMODL", "")).strip() == "MultiSlitModel"
    return [Part(v, v - 1) for v in container.versions("SCI")] if is_multi else [Part(1, None)]


class JwstExposure:
    """A calibrated JWST exposure, opened.

    Use `open`. It keeps the protocol `pixtrace.io.exposure.Exposure`.

    Parameters
    ----------
    container : FitsContainer
        The file.
    preset : str, optional
        Name of the parameter set; None takes that of the mode.

    Raises
    ------
    FileReadError, UnsupportedModeError, DataError, MissingExtraError, ParameterError
        See `open`.
    """

    def __init__(self, container: FitsContainer, preset: str | None = None) -> None:
        self._reader = ImageReader(container)
        self._params = params_of(container, preset)
        parts = parts_of(container)
        is_ifu, is_multi = self._reader.mode.geometry != "slit", parts[0].slit is not None
        self._kind = "jwst-ifu" if is_ifu else "jwst-multislit" if is_multi else "jwst-slit"
        self._product = Product(container, self._reader.tree, self._reader.mode, parts)
        self._opened = [self._reader.read(part) for part in parts]
        self._wavelengths: dict[tuple[int, float], npt.NDArray[np.float32]] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, preset: str | None = None) -> Self:
        """Open a file.

        Parameters
        ----------
        path : path-like
            A calibrated exposure with a WCS, of one of the modes of `pixtrace.io.jwst.modes.MODES`; gzipped or not.
        preset : str, optional
            Name of the parameter set; None takes that of the mode.

        Returns
        -------
        JwstExposure
            The exposure; its images are in memory.

        Raises
        ------
        FileReadError
            The file cannot be read, is not FITS, ends too early, or has no flux or no WCS.
        UnsupportedModeError
            There is no trace model for this mode or datamodel.
        DataError
            It has been oversampled already, or its planes do not fit together.
        MissingExtraError
            A package of the extra ``jwst`` is not installed.
        ParameterError
            There is no such preset.
        """
        return cls(read_container(Path(path)), preset)

    @property
    def path(self) -> Path:
        """The file it was opened from."""
        return self._product.container.path

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    @property
    def kind(self) -> str:
        """One of "jwst-ifu", "jwst-slit", "jwst-multislit"."""
        return self._kind

    @property
    def params(self) -> TraceParams:
        """The parameters of the mode, or of the preset asked for."""
        return self._params

    @property
    def n_integrations(self) -> int:
        """Number of integrations; more than 1 for a time series."""
        return max(opened.image.n_integrations for opened in self._opened)

    @property
    def images(self) -> Sequence[SpectralImage]:
        """The IFU image, or one image per slit, dispersion along axis 1."""
        return tuple(opened.image for opened in self._opened)

    def alpha_os(self, index: int, factor: float) -> npt.NDArray[np.float64]:
        """Return alpha at the centres of the oversampled pixels of image `index`, from the WCS.

        Parameters
        ----------
        index : int
            Which of `images`.
        factor : float
            Oversampling factor, at least 1.

        Returns
        -------
        ndarray of float64, shape (ceil(n_y * factor), n_x)
            Alpha; NaN outside the regions.

        Raises
        ------
        ParameterError
            `factor` is not a finite number of at least 1, or not 1 for a time series.
        MemoryLimitError
            The result would be larger than any ordinary machine's memory.
        """
        from pixtrace.trace.exposure import check_factor

        opened = self._opened[index]
        check_factor(opened.image, factor)
        if factor != 1 and opened.is_cube:
            msg = (
                f"factor = {factor:g}; of a time series only the trace of its median is made here, with factor 1 "
                f"({self.name}); for all integrations see pixtrace.io.series, or --integrations on the command line"
            )
            raise ParameterError(msg)
        alpha, wavelength = self._reader.fine_planes(opened, factor)
        self._wavelengths[index, float(factor)] = wavelength
        return alpha

    @property
    def unit(self) -> str:
        """Unit of the flux (BUNIT)."""
        sci = self._product.container.require("SCI", why="which holds the flux")
        return str(sci.header.get("BUNIT", "")).strip()

    def wavelength(self, index: int) -> npt.NDArray[np.float64]:
        """Return the wavelength of each pixel of image `index`, from the WCS.

        Parameters
        ----------
        index : int
            Which of `images`.

        Returns
        -------
        ndarray of float64, shape (n_y, n_x)
            In um, to the precision of float32; NaN outside the regions.
        """
        wavelength: npt.NDArray[np.float64] = self._reader.fine_planes(self._opened[index], 1.0)[1].astype(float)
        return wavelength

    def output_name(self, factor: float) -> str:
        """Return the default name of the product, such as ``jw..._adaptive_trace_model.fits``.

        Parameters
        ----------
        factor : float
            Oversampling factor; the name does not depend on it.
        """
        del factor
        return product_name(self.name)

    def save(
        self,
        results: Sequence[OversampledImage],
        path: Path,
        *,
        overwrite: bool = False,
        intermediate: bool = False,
    ) -> list[Path]:
        """Write the product: the datamodel that was read, oversampled, with its WCS.

        Parameters
        ----------
        results : sequence of OversampledImage
            One per image, all with the same factor.
        path : Path
            File to be written.
        overwrite : bool, optional
            Whether a file that is there already may be replaced.
        intermediate : bool, optional
            Whether the full and the used trace and, for a factor other than 1, the linear image and the residual are
            written to files of their own beside it (``_spline_full``, ``_spline_used``, ``_linear_interp``,
            ``_spline_residual``).

        Returns
        -------
        list of Path
            The files written, the product first.

        Raises
        ------
        ParameterError
            There is not one result per image, or their factors differ.
        OutputExistsError
            A file is there and `overwrite` is false.
        OutputError
            A file cannot be written.
        """
        factors = {result.factor for result in results}
        if len(results) != len(self._opened) or len(factors) != 1:
            msg = f"{len(results)} results with factors {sorted(factors)} for {len(self._opened)} images of {self.name}"
            raise ParameterError(msg)
        (factor,) = factors
        wavelengths: list[npt.NDArray[np.float32] | None] = [None] * len(results)
        if factor != 1:
            for index, opened in enumerate(self._opened):
                known = self._wavelengths.get((index, factor))
                wavelengths[index] = self._reader.fine_planes(opened, factor)[1] if known is None else known
        return write_product(self._product, results, wavelengths, path, overwrite=overwrite, intermediate=intermediate)

    def save_changed(
        self, changed: Sequence[ChangedImage], path: Path, *, history: str, overwrite: bool = False
    ) -> Path:
        """Write the file with the planes of its images changed, and all else as it is.

        Parameters
        ----------
        changed : sequence of ChangedImage
            One per image.
        path : Path
            File to be written; what was taken off the flux stands there as TRACEMODEL.
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
        OutputExistsError
            It is there and `overwrite` is false.
        OutputError
            It cannot be written.
        """
        return write_changed(self._product, changed, path, history=history, overwrite=overwrite)

    def save_skipped(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write a copy of the file in which the step is recorded as skipped.

        Parameters
        ----------
        path : Path
            File to be written.
        overwrite : bool, optional
            Whether a file that is there already may be replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputExistsError
            It is there and `overwrite` is false.
        OutputError
            It cannot be written.
        """
        return write_product(self._product, [], [], path, overwrite=overwrite, intermediate=False)[0]

    def close(self) -> None:
        """Let go of the coordinates kept for `save`; the images stay usable."""
        self._wavelengths.clear()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the file."""
        self.close()
