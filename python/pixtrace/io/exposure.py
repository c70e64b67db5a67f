"""What an opened exposure is, whatever file it came from.

The command line and the plots see only this protocol; `pixtrace.io.fits.FitsExposure` (plain multi-extension FITS)
and `pixtrace.io.jwst.JwstExposure` (JWST datamodels, extra ``jwst``) are the two things that keep it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import numpy as np
    import numpy.typing as npt

    from pixtrace.trace.exposure import OversampledImage
    from pixtrace.trace.image import SpectralImage
    from pixtrace.trace.params import TraceParams
    from pixtrace.trace.replace import ChangedImage

__all__ = ["Exposure", "ExposureInfo", "ImageInfo"]


@runtime_checkable
class Exposure(Protocol):
    """One opened file: its images, oriented and ready to be fitted, and the way to write what was made of them.

    Everything below is in the orientation of the computation (axis 0 spatial, axis 1 dispersion); turning the result
    back into the orientation of the file is the business of `save`. It is a context manager: leaving the block closes
    the file.
    """

    @property
    def path(self) -> Path:
        """The file it was opened from."""
        ...

    @property
    def name(self) -> str:
        """Short name for messages and plots, usually the name of the file."""
        ...

    @property
    def kind(self) -> str:
        """What it is: "fits", "jwst-ifu", "jwst-slit", "jwst-multislit"."""
        ...

    @property
    def params(self) -> TraceParams:
        """The parameters that belong to the mode; change them with `TraceParams.replace`."""
        ...

    @property
    def n_integrations(self) -> int:
        """Number of integrations: 1, or more for a time series (median image, factor 1 only)."""
        ...

    @property
    def images(self) -> Sequence[SpectralImage]:
        """The images: one, or one per slit."""
        ...

    def alpha_os(self, index: int, factor: float) -> npt.NDArray[np.float64]:
        """Return alpha at the centres of the oversampled pixels of image `index`.

        Parameters
        ----------
        index : int
            Which of `images`.
        factor : float
            Oversampling factor, at least 1.

        Returns
        -------
        ndarray of float64, shape (ceil(n_y * factor), n_x)
            Alpha in the orientation and unit of ``images[index].alpha``; NaN outside the regions.
        """
        ...

    @property
    def unit(self) -> str:
        """Unit of the flux, "" if the file does not say."""
        ...

    def wavelength(self, index: int) -> npt.NDArray[np.float64] | None:
        """Return the wavelength of each pixel of image `index`.

        Parameters
        ----------
        index : int
            Which of `images`.

        Returns
        -------
        ndarray of float64, shape (n_y, n_x), or None
            In um, or whatever unit the file has; NaN outside the regions. None if it is not known.
        """
        ...

    def output_name(self, factor: float) -> str:
        """Return the file name that the result is given by default.

        Parameters
        ----------
        factor : float
            Oversampling factor; 1 for the trace alone.

        Returns
        -------
        str
            Name without directory, ending in ``.fits``.
        """
        ...

    def save(
        self,
        results: Sequence[OversampledImage],
        path: Path,
        *,
        overwrite: bool = False,
        intermediate: bool = False,
    ) -> list[Path]:
        """Write the results, one per image and in the order of `images`, as one product.

        Parameters
        ----------
        results : sequence of OversampledImage
            What `pixtrace.trace.exposure.oversample_image` made of each image, all with the same factor.
        path : Path
            File to write. It is there complete, or not at all.
        overwrite : bool, optional
            Whether a file that is there already may be replaced.
        intermediate : bool, optional
            Whether the full trace, the linear image and the residual are written too (into extensions of the same
            file or files beside it, as the format has it).

        Returns
        -------
        list of Path
            The files written, the product first.

        Raises
        ------
        OutputExistsError
            A file is there and `overwrite` is false.
        OutputError
            It cannot be written.
        """
        ...

    def save_changed(
        self, changed: Sequence[ChangedImage], path: Path, *, history: str, overwrite: bool = False
    ) -> Path:
        """Write the file with the planes of its images changed, and all else as it is.

        Parameters
        ----------
        changed : sequence of ChangedImage
            One per image, in the order of `images`.
        path : Path
            File to write. It is there complete, or not at all.
        history : str
            What was done, for the header.
        overwrite : bool, optional
            Whether a file that is there already may be replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputExistsError, OutputError
            See `save`.
        """
        ...

    def close(self) -> None:
        """Close the file; the arrays stay usable."""
        ...

    def __enter__(self) -> Self:
        """Return itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        ...


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """What `inspect` says about one image of a file, from the headers alone.

    Attributes
    ----------
    name : str
        Name of the slit, or "" for the only image of the file.
    shape : tuple of int
        Shape of the SCI array as it lies in the file.
    planes : tuple of str
        Names of the extensions that belong to it.
    n_regions : int or None
        Number of slices or slits; None where only a WCS could tell.
    """

    name: str
    shape: tuple[int, ...]
    planes: tuple[str, ...]
    n_regions: int | None = None


@dataclass(frozen=True, kw_only=True)
class ExposureInfo:
    """What `inspect` says about a file, without computing anything.

    Attributes
    ----------
    path : Path
        The file.
    kind : str
        "fits" for the plain format, "jwst" for a JWST datamodel.
    preset : str or None
        Name of the parameter set that would be used; None if the mode has none, and then `problem` says why.
    images : tuple of ImageInfo
        The images, or the slits.
    n_integrations : int
        Number of integrations.
    unit : str
        Unit of the flux, "" if the file does not say.
    oversampled : float or None
        Factor by which it has been oversampled already; NaN if it has, by a factor the file does not tell.
    problem : str
        Why it could not be oversampled as it is; "" if it could.
    details : mapping of str to str
        Other header entries worth showing (instrument, detector, grating, exposure type...).
    """

    path: Path
    kind: str
    preset: str | None
    images: tuple[ImageInfo, ...]
    n_integrations: int = 1
    unit: str = ""
    oversampled: float | None = None
    problem: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
