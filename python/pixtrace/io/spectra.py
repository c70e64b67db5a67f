"""Extracted spectra in files: one long table as ECSV, or a binary table per spectrum as FITS.

FITS: the primary header has PIXVERS (version of pixtrace) and SRCFILE (what was extracted). Every spectrum is an
extension EXTRACT1D, counted by EXTVER, whose header tells SPECNAME (of what), SLTNAME (of the image, if it has a name),
REGIONS (the numbers of the slices or slits), PROFERR (whether the error holds that of the profile), and SRCLOW and
SRCHIGH (the ends of the source in alpha, if they were given). Its columns are those of
`pixtrace.trace.spectrum.COLUMNS`, as far as the spectrum has them.

ECSV: the same columns of all spectra one below the other, after the name in SPECTRUM. What a spectrum does not have is
NaN, and -1 in columns of whole numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import ParameterError
from pixtrace.io.atomic import atomic_path
from pixtrace.trace.spectrum import COLUMNS

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from pixtrace.trace.extract import Extraction
    from pixtrace.trace.spectrum import ExtractedSpectrum

__all__ = ["write_spectra"]

_EXTENSION = "EXTRACT1D"


def write_spectra(
    path: str | os.PathLike[str], extractions: Sequence[Extraction], *, source: str = "", overwrite: bool = False
) -> Path:
    """Write the spectra of an exposure.

    Parameters
    ----------
    path : path-like
        File to write, ``.ecsv``, ``.fits`` or ``.fits.gz``; it is there complete, or not at all.
    extractions : sequence of Extraction
        One per image.
    source : str, optional
        Name of the file that was extracted.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ParameterError
        There is no spectrum, or the suffix names no format.
    OutputExistsError, OutputError
        It cannot be written.
    """
    path = Path(path)
    named = [
        (f"{extraction.name} {spectrum.name}".strip() if len(extractions) > 1 else spectrum.name, extraction, spectrum)
        for extraction in extractions
        for spectrum in extraction.all()
    ]
    if not named:
        msg = f"there is no spectrum to write to {path}: no region has a trace"
        raise ParameterError(msg)
    if path.name.endswith(".ecsv"):
        table = _long_table([(name, spectrum) for name, _, spectrum in named])
        table.meta.update(kind="pixtrace spectra", version=1, source=source)
        with atomic_path(path, overwrite=overwrite) as partial:
            table.write(partial, format="ascii.ecsv")
    elif path.name.endswith((".fits", ".fits.gz")):
        with atomic_path(path, overwrite=overwrite) as partial:
            _hdus(named, source).writeto(partial)
    else:
        msg = f"{path} names no format for spectra; expected a name that ends in .ecsv, .fits or .fits.gz"
        raise ParameterError(msg)
    return path


def _long_table(named: Sequence[tuple[str, ExtractedSpectrum]]) -> Any:  # noqa: ANN401 - astropy has no types
    """Return all spectra one below the other, as a plain table with units."""
    from astropy.table import Table

    tables = [spectrum.to_table() for _, spectrum in named]
    table: Any = Table()
    table["SPECTRUM"] = np.repeat([name for name, _ in named], [len(spectrum) for _, spectrum in named])
    for name, _, _ in COLUMNS:
        having = [one[name] for one in tables if name in one.colnames]
        if not having:
            continue
        kind = np.asarray(having[0]).dtype
        missing = np.nan if kind.kind == "f" else -1
        dtype = np.dtype(np.int64) if kind.kind in "iu" and name != "DQ" else kind
        parts = [
            np.asarray(one[name], dtype=dtype) if name in one.colnames else np.full(len(one), missing, dtype=dtype)
            for one in tables
        ]
        table[name] = np.concatenate(parts)
        table[name].unit = getattr(having[0], "unit", None)
    for key in ("flux_unit", "wavelength_unit"):
        found = [one.meta[key] for one in tables if key in one.meta]
        if found:
            table.meta[key] = found[0]
    return table


def _hdus(named: Sequence[tuple[str, Extraction, ExtractedSpectrum]], source: str) -> Any:  # noqa: ANN401
    """Return the units of a FITS file."""
    from astropy.io import fits

    from pixtrace import __version__

    primary: Any = fits.PrimaryHDU()
    primary.header["PIXVERS"] = (__version__, "version of pixtrace")
    if source:
        primary.header["SRCFILE"] = source
    hdus = [primary]
    for version, (name, extraction, spectrum) in enumerate(named, start=1):
        table = spectrum.to_table()
        table.meta.clear()
        hdu: Any = fits.table_to_hdu(table)
        header = hdu.header
        header["EXTNAME"] = _EXTENSION
        header["EXTVER"] = version
        header["SPECNAME"] = (name, "what it is the spectrum of")
        if extraction.name:
            header["SLTNAME"] = (extraction.name, "name of the image")
        header["REGIONS"] = ",".join(map(str, spectrum.regions))
        header["PROFERR"] = (extraction.profile_errors, "the error holds that of the profile")
        if extraction.source is not None:
            header["SRCLOW"] = (extraction.source[0], "lowest alpha of the source")
            header["SRCHIGH"] = (extraction.source[1], "highest alpha of the source")
        hdus.append(hdu)
    return fits.HDUList(hdus)
