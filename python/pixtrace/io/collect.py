"""From what stands on the command line to a list of exposures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pixtrace.exceptions import FileReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["PRODUCT_SUFFIXES", "collect_inputs"]

#: Ends of the names (before ``.fits``) that pixtrace gives to its own products, which a directory search passes over:
#: those of the plain format, then those of JWST exposures and their intermediate results.
PRODUCT_SUFFIXES = (
    *("_oversampled", "_trace", "_adaptive_trace_model"),
    *("_spline_full", "_spline_used", "_linear_interp", "_spline_residual"),
)

_FITS_SUFFIXES = (".fits", ".fits.gz")
_JWST_INPUTS = ("_cal", "_calints")
_ASSOCIATION_SUFFIX = "_asn.json"


def collect_inputs(
    paths: Iterable[str | os.PathLike[str]], *, on_missing: Callable[[FileReadError], object] | None = None
) -> list[Path]:
    """Return the exposures that are meant by files, directories and associations.

    Parameters
    ----------
    paths : iterable of path-like
        Each is one of:

        - a FITS file, packed with gzip or not: itself, whatever its name;
        - a directory: the FITS files in it (not below it), by name. If there are calibrated JWST exposures among them,
          which end in ``_cal`` or ``_calints``, those alone. Products of pixtrace are passed over, and so is a packed
          file whose unpacked twin is there;
        - a JWST association (``*_asn.json``): its members of type "science", relative to the association's directory.
          A member that is not there is looked for under its packed name, ``.gz`` added, too.

    on_missing : callable, optional
        Called with the error for each member of an association that is not there; without it, the first such error
        is raised.

    Returns
    -------
    list of Path
        The exposures in the order in which they are named, each file once, under the first of its names.

    Raises
    ------
    FileReadError
        A file or member does not exist, cannot be read, is neither FITS nor an association by its name, or a directory
        holds none.
    """
    found: dict[Path, Path] = {}
    for name in paths:
        for path in _expand(Path(name), on_missing):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _expand(path: Path, on_missing: Callable[[FileReadError], object] | None) -> Iterator[Path]:
    """Yield the exposures that one path stands for."""
    if path.is_dir():
        yield from _of_directory(path)
    elif path.name.endswith(".json"):
        yield from _of_association(path, on_missing)
    else:
        _check_readable(path)
        if not path.name.lower().endswith(_FITS_SUFFIXES):
            expected = f".fits, .fits.gz, *{_ASSOCIATION_SUFFIX} or a directory"
            msg = f"{path} is not a FITS file by its name; expected {expected}"
            raise FileReadError(msg)
        yield path


def _check_readable(path: Path) -> None:
    """Complain unless `path` is a file that can be opened."""
    if not path.exists():
        msg = f"{path} does not exist; check the name"
        raise FileReadError(msg)
    if not path.is_file():
        msg = f"{path} is not a file; expected a FITS file, an association or a directory"
        raise FileReadError(msg)
    if not os.access(path, os.R_OK):
        msg = f"{path} may not be read; check its permissions"
        raise FileReadError(msg)


def _stem(path: Path) -> str:
    """Return the name of a FITS file without ``.fits`` and ``.fits.gz``."""
    return path.name.lower().removesuffix(".gz").removesuffix(".fits")


def _of_directory(directory: Path) -> list[Path]:
    """Return the exposures in a directory, by name."""
    try:
        names = sorted(path for path in directory.iterdir() if path.name.lower().endswith(_FITS_SUFFIXES))
    except OSError as error:
        msg = f"the directory {directory} cannot be read: {error.strerror}"
        raise FileReadError(msg) from error
    candidates = [
        path
        for path in names
        if path.is_file()
        and not path.name.startswith(".")
        and not _stem(path).endswith(PRODUCT_SUFFIXES)
        and not (path.suffix.lower() == ".gz" and path.with_suffix("") in names)
    ]
    jwst = [path for path in candidates if _stem(path).endswith(_JWST_INPUTS)]
    if not candidates:
        passed_over = f"; {len(names)} with names of products were passed over" if names else ""
        msg = f"the directory {directory} holds no exposure: expected files that end in .fits or .fits.gz{passed_over}"
        raise FileReadError(msg)
    return jwst or candidates


def _of_association(path: Path, on_missing: Callable[[FileReadError], object] | None) -> list[Path]:
    """Return the science members of an association, in its order."""
    _check_readable(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"the association {path} cannot be read: {error}"
        raise FileReadError(msg) from error
    members = list(_science_members(content))
    if not members:
        msg = f'the association {path} names no exposure: expected products[].members[] with "exptype": "science"'
        raise FileReadError(msg)
    found = []
    for name in members:
        try:
            found.append(_member_path(path, name))
        except FileReadError as error:
            if on_missing is None:
                raise
            on_missing(error)
    return found


def _science_members(content: object) -> Iterator[str]:
    """Yield the names of the science members; whatever is not as it should be is not a member."""
    products = content.get("products") if isinstance(content, dict) else None
    for product in products if isinstance(products, list) else []:
        members = product.get("members") if isinstance(product, dict) else None
        for member in members if isinstance(members, list) else []:
            if isinstance(member, dict) and str(member.get("exptype", "science")).lower() == "science":
                name = member.get("expname")
                if isinstance(name, str) and name:
                    yield name


def _member_path(association: Path, name: str) -> Path:
    """Return the file of a member, or its packed twin."""
    path = association.parent / name
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        if candidate.is_file():
            _check_readable(candidate)
            return candidate
    msg = f"{path} does not exist; it is a science member of the association {association}"
    raise FileReadError(msg)
