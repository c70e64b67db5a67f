"""Which kind of model file it is, and who reads and writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pixtrace.exceptions import DataError, FileReadError, ParameterError
from pixtrace.io.fitsfile import GZIP_MAGIC
from pixtrace.io.models.stored import StoredModel

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from pixtrace.trace.model import TraceModel

__all__ = ["load_model", "load_models", "save_model", "save_models"]

_ASDF_MAGIC = b"#ASDF"


def save_models(path: str | os.PathLike[str], models: Sequence[StoredModel], *, overwrite: bool = False) -> Path:
    """Write the models of an exposure.

    Parameters
    ----------
    path : path-like
        File to write, ``.asdf`` (extra ``asdf``), ``.fits`` or ``.fits.gz``; it is there complete, or not at all.
    models : sequence of StoredModel
        One per image, at least one.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ParameterError
        There is no model, or the suffix names no format.
    MissingExtraError
        ASDF is asked for and not installed.
    OutputExistsError, OutputError
        It cannot be written.
    """
    path = Path(path)
    if not models:
        msg = f"there is no model to write to {path}; give at least one"
        raise ParameterError(msg)
    if path.name.endswith(".asdf"):
        from pixtrace.io.models.asdf_file import write_asdf

        write_asdf(path, models, overwrite=overwrite)
    elif path.name.endswith((".fits", ".fits.gz")):
        from pixtrace.io.models.fits_tables import write_tables

        write_tables(path, models, overwrite=overwrite)
    else:
        msg = f"{path} names no format for a trace model; expected a name that ends in .asdf, .fits or .fits.gz"
        raise ParameterError(msg)
    return path


def load_models(path: str | os.PathLike[str]) -> list[StoredModel]:
    """Read the models of an exposure.

    Parameters
    ----------
    path : path-like
        A file that `save_models` has written, or one of `save_model`.

    Returns
    -------
    list of StoredModel
        One per image, equal to what was saved, bit for bit.

    Raises
    ------
    FileReadError
        It does not exist, is damaged, holds no model, or was written by a later version of the format.
    MissingExtraError
        It is an ASDF file, and asdf is not installed.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(len(_ASDF_MAGIC))
    except FileNotFoundError as error:
        msg = f"{path} does not exist; check the name"
        raise FileReadError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise FileReadError(msg) from error
    if head == _ASDF_MAGIC:
        from pixtrace.io.models.asdf_file import read_asdf

        return read_asdf(path)
    if head.startswith((b"SIMP", GZIP_MAGIC)):
        from pixtrace.io.models.fits_tables import read_tables

        return read_tables(path)
    msg = f"{path} is neither an ASDF nor a FITS file; expected a trace model as `pixtrace fit` writes it"
    raise FileReadError(msg)


def save_model(path: str | os.PathLike[str], model: TraceModel, *, overwrite: bool = False) -> Path:
    """Write one model, without anything about its origin; see `save_models`."""
    return save_models(path, [StoredModel(model=model)], overwrite=overwrite)


def load_model(path: str | os.PathLike[str]) -> TraceModel:
    """Read the model of a file that holds one; see `load_models`.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    TraceModel
        The model.

    Raises
    ------
    DataError
        It holds several.
    FileReadError, MissingExtraError
        See `load_models`.
    """
    models = load_models(path)
    if len(models) != 1:
        names = ", ".join(repr(stored.name) for stored in models)
        msg = f"{path} holds {len(models)} models ({names}); read them with pixtrace.io.load_models"
        raise DataError(msg)
    return models[0].model
