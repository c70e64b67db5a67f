"""The checkpoint: all pixel maps with everything that belongs to them in one FITS file.

A reduction that is read back from it goes on as if it had not stopped: every array comes back to the bit.

============  ======================================  =================================================================
extension     type and shape                          content
============  ======================================  =================================================================
(primary)     none                                    PIXKIND, PIXFORM (version), size, integration time, HISTORY
DATA          float64 (n_pixels, n_y, n_x)            sums or means, see CONTENT in MAPS
WEIGHT        float64 (n_pixels, n_y, n_x)            sums of weight times gain squared
EXPOSURE      float64 (n_pixels, n_y, n_x)            integration time [s]
FLAG          uint8 (n_pixels, n_y, n_x)              1 = DISCARD, 2 = MASK
SNR           float32 (n_pixels, n_y, n_x)            signal-to-noise ratio, NaN without data; to look at, not read
BASE          float64 (n_pixels, n_y, n_x), optional  maps of the previous round, NaN where there is none
MOMENTS       float64 (n_layers, 6, n_y, n_x), opt.   positions of the frames in the cells
FACTORS       float64 (n_layers, n_pixels), optional  what the frames of each layer count in each map
MISSED        float64 (n_missed, 8), optional         map, cell, weight and mean position of samples that a map misses
MAPS          table, one row per map                  number of the pixel, content, what was done to the map
PIXELS        table, one row per pixel, optional      what was measured (`pixtrace.scan.tables.PixelTable`)
STATE         uint8 (n_bytes,)                        configuration, history and all else, as JSON in UTF-8
ARRAY         any number type and shape, any number   further arrays; their names are in STATE
============  ======================================  =================================================================

Large arrays are written and read some megabytes at a time, never copied as a whole. Each extension has a DATASUM,
which is checked.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import DataError, ParameterError
from pixtrace.io.atomic import atomic_path
from pixtrace.io.fits_stream import append_image, blocks_of
from pixtrace.io.pixel_table import to_qtable, unit_power
from pixtrace.io.pixelmap_fits import focal_plane_header
from pixtrace.scan.state import CONTENTS, MAP_RECORDS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import numpy.typing as npt

    from pixtrace.scan.state import PixelMapState
    from pixtrace.scan.tables import PixelTable

__all__ = ["ARRAY", "KIND", "PLANES", "VERSION", "write_checkpoint"]

#: PIXKIND, by which a checkpoint is recognised.
KIND = "pixtrace pixel map checkpoint"
#: PIXFORM: version of the layout.
VERSION = 2
#: The extensions that hold the maps, with the name of the plane and its type.
PLANES = (("DATA", "data", "f8"), ("WEIGHT", "weight", "f8"), ("EXPOSURE", "exposure", "f8"), ("FLAG", "flag", "u1"))
#: EXTNAME of further arrays.
ARRAY = "ARRAY"

_ARRAY_TYPES = {"u1", "i2", "i4", "i8", "f4", "f8"}
_DISCARD = 1


def write_checkpoint(path: str | os.PathLike[str], state: PixelMapState, *, overwrite: bool = False) -> None:
    """Write everything that a reduction needs in order to go on.

    Parameters
    ----------
    path : path-like
        The file; not packed.
    state : PixelMapState
        What is to be written. It is not changed, and must not change meanwhile.
    overwrite : bool, optional
        Whether a file that is there already may be replaced; it is, in one step, when the new one is complete.

    Raises
    ------
    ParameterError
        The name ends in ``.gz``.
    DataError
        Something in `configuration`, `extra` or the table's `meta` cannot be written as JSON, or an array in `arrays`
        has a type that FITS does not know.
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    from astropy.io import fits

    path = Path(path)
    if path.suffix == ".gz":
        msg = f"{path}: a checkpoint is not packed, so that it can be written bit by bit; leave out .gz"
        raise ParameterError(msg)
    text = _document(state)
    has_base = state.base is not None and not all(np.isnan(block).all() for block in blocks_of(state.base))
    moments = _moments(state)
    n_extensions = len(PLANES) + 3 + has_base + len(moments) + (state.table is not None)
    with atomic_path(path, overwrite=overwrite) as partial:
        _primary(state, n_extensions + len(state.arrays)).writeto(partial, checksum=True)
        for name, plane, dtype in PLANES:
            array = getattr(state, plane)
            append_image(partial, array.shape, dtype, blocks_of(array), _map_header(name, state))
        append_image(partial, state.data.shape, "f4", _signal_to_noise(state), _map_header("SNR", state))
        if has_base and state.base is not None:
            append_image(partial, state.base.shape, "f8", blocks_of(state.base), _map_header("BASE", state))
        for name, array in moments.items():
            header = _map_header(name, state) if name == "MOMENTS" else fits.Header([("EXTNAME", name)])
            append_image(partial, array.shape, "f8", blocks_of(array), header)
        fits.append(partial, *_maps_table(state), verify=False)
        if state.table is not None:
            fits.append(partial, *_pixels_table(state.table), verify=False)
        append_image(partial, text.shape, "u1", blocks_of(text), fits.Header([("EXTNAME", "STATE")]))
        for number, array in enumerate(state.arrays.values(), start=1):
            header = fits.Header([("EXTNAME", ARRAY), ("EXTVER", number)])
            flat = np.ascontiguousarray(array).reshape(-1)
            append_image(partial, array.shape or (1,), array.dtype.newbyteorder("="), blocks_of(flat), header)


def _moments(state: PixelMapState) -> dict[str, npt.NDArray[np.float64]]:
    """Return the extensions that tell where in their cells samples stand."""
    moments = state.moments
    if moments is None:
        return {}
    found = {"MOMENTS": moments.sums, "FACTORS": moments.factors}
    if len(moments.missed):
        found["MISSED"] = np.hstack([moments.missed_at.astype(np.float64), moments.missed])
    return found


def _document(state: PixelMapState) -> npt.NDArray[np.uint8]:
    """Return what is not an array as JSON, in bytes."""
    table = state.table
    document = {
        "n_skipped": state.n_skipped,
        "unit": state.unit,
        "generation": state.generation,
        "integration_time": state.integration_time,
        "resolution": state.resolution,
        "reference_index": state.reference_index,
        "configuration": dict(state.configuration),
        "history": list(state.history),
        "extra": dict(state.extra),
        "arrays": [{"name": name, "shape": list(array.shape)} for name, array in state.arrays.items()],
        "table": None
        if table is None
        else {
            "unit": table.unit,
            "flag_meanings": {str(bit): text for bit, text in table.flag_meanings.items()},
            "meta": dict(table.meta),
            "extra": {name: [extra.unit, extra.description] for name, extra in table.extra.items()},
        },
    }
    for name, array in state.arrays.items():
        if array.dtype.str[1:] not in _ARRAY_TYPES or 0 in array.shape:
            msg = f"arrays[{name!r}] has dtype {array.dtype} and shape {array.shape}; expected numbers that FITS knows"
            raise DataError(msg)
    try:
        text = json.dumps(document, default=_plain)
    except (TypeError, ValueError) as error:
        msg = f"the state cannot be written: {error}; expected mappings, lists, texts, numbers, True, False and None"
        raise DataError(msg) from error
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _plain(value: object) -> object:
    """Return what JSON can hold in place of a mapping or a number of numpy."""
    if isinstance(value, np.generic):
        return value.item()
    items = getattr(value, "items", None)
    if items is not None:
        return dict(items())
    msg = f"found {value!r} of type {type(value).__name__}"
    raise TypeError(msg)


def _primary(state: PixelMapState, n_extensions: int) -> Any:  # noqa: ANN401 - astropy has no types
    """Return the primary unit, by which people and programs see what the file is."""
    from astropy.io import fits

    from pixtrace import __version__

    header = fits.Header()
    header["NEXTEND"] = (n_extensions, "number of extensions")
    header["PIXKIND"] = (KIND, "what this file is")
    header["PIXFORM"] = (VERSION, "version of its layout")
    header["PIXVERS"] = (__version__, "version of pixtrace")
    header["NPIXELS"] = (state.n_pixels, "number of maps")
    header["GENERATN"] = (state.generation, "rounds that the maps have been through")
    header["INTEGRTN"] = (float(np.nan_to_num(state.integration_time)), "[s] integration time of the scans")
    for line in state.history:
        header.add_history("".join(c if c.isascii() and c.isprintable() else "?" for c in line))
    return fits.PrimaryHDU(header=header)


def _map_header(name: str, state: PixelMapState) -> Any:  # noqa: ANN401
    """Return the cards of a stack of maps: its name, unit and coordinates."""
    from astropy.io import fits

    header = fits.Header([("EXTNAME", name)])
    unit = {"EXPOSURE": "s", "BASE": unit_power(state.unit, 1)}.get(name, "")
    if name in {"DATA", "WEIGHT"} and state.unit:
        # A sum of weight times gain times sample has the inverse of the sample's unit.
        kinds = set(state.content)
        power = -2 if name == "WEIGHT" else 1 if "sums" not in kinds else -1 if kinds == {"sums"} else 0
        unit = unit_power(state.unit, power) if power else ""
    if unit:
        header["BUNIT"] = (unit, "unit of the numbers")
    header.extend(focal_plane_header(state.resolution, state.reference_index))
    header["WCSAXES"] = 3
    header["CTYPE3"], header["CRPIX3"], header["CRVAL3"], header["CDELT3"] = "MAP", 1.0, 0.0, 1.0
    header["CNAME3"] = "MOMENT" if name == "MOMENTS" else "ROW OF MAPS"
    return header


def _signal_to_noise(state: PixelMapState) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the signal-to-noise ratio of each map; NaN in cells without data."""
    for data, weight, flag, content in zip(state.data, state.weight, state.flag, state.content, strict=True):
        with np.errstate(all="ignore"):
            root = np.sqrt(weight)
            ratio = data / root if content == "sums" else data * root
            valid = (flag & _DISCARD == 0) & (weight > 0) & np.isfinite(weight)
            yield np.where(valid, ratio, np.nan).astype(np.float32)


def _maps_table(state: PixelMapState) -> tuple[Any, Any]:
    """Return the table of the maps and its header."""
    from astropy.io import fits

    columns = [
        fits.Column("PIXEL_ID", "K", array=state.pixel_ids),
        fits.Column("CONTENT", f"{max(map(len, CONTENTS))}A", array=np.array(state.content, dtype=str)),
    ]
    for name in MAP_RECORDS:
        values = getattr(state, name)
        if values is not None:
            unit = "arcsec" if name.endswith("_fwhm") else None
            columns.append(fits.Column(name.upper(), "D", unit, array=values))
    table = fits.BinTableHDU.from_columns(columns)
    table.header["EXTNAME"] = "MAPS"
    table.add_datasum()
    return table.data, table.header


def _pixels_table(table: PixelTable) -> tuple[Any, Any]:
    """Return the table of the pixels and its header; what a FITS header has no room for is kept as JSON."""
    from astropy.io import fits
    from astropy.table import Table

    plain: Any = Table(to_qtable(table), copy=False)
    plain.meta = {}
    for name in plain.colnames:
        plain[name].info.description = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units that FITS does not know are left out, and kept as JSON too
        hdu = fits.table_to_hdu(plain)
    hdu.header["EXTNAME"] = "PIXELS"
    hdu.add_datasum()
    return hdu.data, hdu.header
