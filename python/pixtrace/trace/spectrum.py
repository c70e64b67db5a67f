"""An extracted spectrum, and what it looks like to other packages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.trace.image import DO_NOT_USE

if TYPE_CHECKING:
    import numpy.typing as npt

    from pixtrace.trace.image import DqPlane

__all__ = ["COLUMNS", "ExtractedSpectrum"]

#: Columns of `ExtractedSpectrum.to_table`: name, attribute, unit ("w": of the wavelength, "f": of the flux, "": none).
COLUMNS = (
    ("WAVELENGTH", "wavelength", "w"),
    ("FLUX", "flux", "f"),
    ("FLUX_ERROR", "error", "f"),
    ("FLUX_NOISE", "noise", "f"),
    ("DQ", "dq", ""),
    ("BACKGROUND", "background", "f"),
    ("BKGD_ERROR", "background_error", "f"),
    ("FRACTION", "fraction", ""),
    ("CHI2", "chi2", ""),
    ("NPIXELS", "n_pixels", ""),
    ("NREJECTED", "n_rejected", ""),
    ("COLUMN", "column", ""),
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ExtractedSpectrum:
    """The spectrum of a source; every array has one element per wavelength.

    Attributes
    ----------
    name : str
        What it is the spectrum of: "region 7", or "channel 1" and "all slices" where slices were combined.
    regions : tuple of int
        The slices or slits that it was made from.
    wavelength : ndarray of float64
        Wavelength of the source, in the order of the columns (rising where slices were combined). Numbers of columns
        where the exposure has no wavelengths.
    flux : ndarray of float64
        Sum of the source over the pixels of the column, in the unit of the flux of a pixel; NaN where it could not be
        measured.
    error : ndarray of float64
        Its standard deviation.
    noise : ndarray of float64, or None
        What of the error comes from the pixels of the column alone, with the profile known: it is independent from
        column to column. The rest comes from the profile, which neighbouring columns share. None where slices were
        combined.
    dq : ndarray of uint32
        `DO_NOT_USE` where the flux is NaN.
    background, background_error : ndarray of float64, or None
        Level of the background per pixel and its standard deviation; None if none was fitted.
    fraction : ndarray of float64
        Share of the light of the source that was measured: below 1 where pixels, or slices, are missing.
    chi2 : ndarray of float64
        Sum of squared deviations from the profile in units of the error, per degree of freedom; between slices where
        slices were combined. The error is not multiplied by its root.
    n_pixels, n_rejected : ndarray of int, or None
        Number of pixels used, and of those left out as outliers; None where slices were combined.
    column : ndarray of int64, or None
        Column of the image; None where slices were combined.
    unit, wavelength_unit : str
        Units of flux and wavelength, "" for none.
    """

    name: str
    regions: tuple[int, ...]
    wavelength: npt.NDArray[np.float64]
    flux: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]
    dq: DqPlane
    noise: npt.NDArray[np.float64] | None = None
    background: npt.NDArray[np.float64] | None = None
    background_error: npt.NDArray[np.float64] | None = None
    fraction: npt.NDArray[np.float64]
    chi2: npt.NDArray[np.float64]
    n_pixels: npt.NDArray[np.integer[Any]] | None = None
    n_rejected: npt.NDArray[np.integer[Any]] | None = None
    column: npt.NDArray[np.int64] | None = None
    unit: str = ""
    wavelength_unit: str = "um"

    def __len__(self) -> int:
        return int(self.flux.size)

    def __repr__(self) -> str:
        known = np.isfinite(self.flux) & (self.error > 0)
        snr = np.median(self.flux[known] / self.error[known]) if known.any() else np.nan
        return (
            f"<ExtractedSpectrum {self.name!r}: {np.count_nonzero(known)} of {len(self)} wavelengths measured; "
            f"median signal to noise {snr:.3g}>"
        )

    def to_table(self) -> Any:  # noqa: ANN401 - astropy has no types
        """Return the spectrum as `astropy.table.QTable`.

        Returns
        -------
        QTable
            WAVELENGTH, FLUX, FLUX_ERROR, DQ and the others of `COLUMNS` that there are, with units. Those that astropy
            does not know stand in the table as text.
        """
        from astropy import units as u
        from astropy.table import QTable

        units = {"w": _unit(self.wavelength_unit), "f": _unit(self.unit), "": None}
        table: Any = QTable()
        for name, attribute, kind in COLUMNS:
            values = getattr(self, attribute)
            if values is None:
                continue
            unit = units[kind]
            table[name] = values if unit is None else u.Quantity(values, unit)
        table.meta.update(name=self.name, regions=[int(region) for region in self.regions])
        for key, unit in (("flux_unit", self.unit), ("wavelength_unit", self.wavelength_unit)):
            if _unit(unit) is None:
                table.meta[key] = unit
        return table

    def to_spectrum(self) -> Any:  # noqa: ANN401 - specutils and astropy have no types
        """Return the spectrum as `specutils.Spectrum` where specutils (extra ``specutils``) is installed.

        Returns
        -------
        specutils.Spectrum or QTable
            Flux with its standard deviation against rising wavelength, masked where `dq` is not 0; elements without a
            wavelength are left out. Without specutils, what `to_table` returns.
        """
        try:
            from specutils import Spectrum  # pyright: ignore[reportMissingImports]  (an optional package)
        except ImportError:
            return self.to_table()
        from astropy import units as u
        from astropy.nddata import StdDevUncertainty

        order = np.argsort(self.wavelength, kind="stable")
        order = order[np.isfinite(self.wavelength[order])]
        unit = _unit(self.unit) or u.dimensionless_unscaled
        return Spectrum(
            spectral_axis=u.Quantity(self.wavelength[order], _unit(self.wavelength_unit) or u.pix),
            flux=u.Quantity(self.flux[order], unit),
            uncertainty=StdDevUncertainty(u.Quantity(self.error[order], unit)),
            mask=(self.dq[order] & DO_NOT_USE).astype(bool),
            meta={"name": self.name, "regions": list(self.regions)},
        )


def _unit(text: str) -> Any:  # noqa: ANN401
    """Return a unit, None if there is none or astropy does not know it."""
    from astropy import units as u

    if not text.strip():
        return None
    make: Any = u.Unit
    unit = make(text, parse_strict="silent")
    return None if isinstance(unit, u.UnrecognizedUnit) else unit
