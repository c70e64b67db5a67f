"""Trace models in ASDF files."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pixtrace.exceptions import FileReadError, MissingExtraError
from pixtrace.io.atomic import atomic_path
from pixtrace.io.models.stored import FORMAT, StoredModel, check_format, params_from
from pixtrace.trace.model import TraceModel

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

__all__ = ["read_asdf", "write_asdf"]

_KEY = "pixtrace"


def write_asdf(path: Path, models: Sequence[StoredModel], *, overwrite: bool) -> None:
    """Write models as an ASDF file.

    Parameters
    ----------
    path : Path
        The file.
    models : sequence of StoredModel
        What is to be written.
    overwrite : bool
        Whether a file that is there already may be replaced.

    Raises
    ------
    MissingExtraError
        The package asdf is not installed.
    OutputExistsError, OutputError
        See `pixtrace.io.atomic.atomic_path`.
    """
    asdf = _asdf()
    from pixtrace import __version__

    tree = {
        _KEY: {
            "format": FORMAT,
            "version": __version__,
            "images": [
                {
                    "name": stored.name,
                    "offset": float(stored.offset),
                    "source": stored.source,
                    "fingerprint": stored.fingerprint,
                    "params": {} if stored.params is None else dataclasses.asdict(stored.params),
                    "model": stored.model,
                }
                for stored in models
            ],
        }
    }
    with atomic_path(path, overwrite=overwrite) as partial, _configured(asdf):
        asdf.AsdfFile(tree).write_to(partial)


def read_asdf(path: Path) -> list[StoredModel]:
    """Read models from an ASDF file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    list of StoredModel
        The models.

    Raises
    ------
    MissingExtraError
        The package asdf is not installed.
    FileReadError
        It is damaged, holds no model, or one of a format to come.
    """
    asdf = _asdf()
    yaml: Any = import_module("yaml")  # asdf brings it; released without types

    damage = (OSError, ValueError, TypeError, LookupError, EOFError, RuntimeError, yaml.YAMLError)
    try:
        with _configured(asdf), asdf.open(path, lazy_load=False, memmap=False, validate_checksums=True) as file:
            tree = dict(file.tree)
    except FileReadError as error:
        msg = f"{path}: {error}"
        raise FileReadError(msg) from error
    except (*damage, asdf.exceptions.ValidationError) as error:
        msg = f"{path} cannot be read ({type(error).__name__}: {error}); get a complete copy"
        raise FileReadError(msg) from error
    top = tree.get(_KEY)
    if not isinstance(top, dict) or not isinstance(top.get("images"), list):
        msg = f"{path} holds no trace model: it has no {_KEY}.images; `pixtrace fit` makes one"
        raise FileReadError(msg)
    check_format(top.get("format"), str(path))
    return [_stored(image, f"{path}, image {number}") for number, image in enumerate(top["images"])]


def _stored(image: Any, where: str) -> StoredModel:  # noqa: ANN401 - whatever the file holds
    """Return one entry of the list of images."""
    model = image.get("model") if isinstance(image, dict) else None
    if not isinstance(model, TraceModel):
        msg = f"{where} holds no trace model but a {type(model).__name__}"
        raise FileReadError(msg)
    try:
        return StoredModel(
            model=model,
            name=str(image.get("name", "")),
            offset=float(image.get("offset", 0.0)),
            params=params_from(image.get("params", {}), where),
            source=str(image.get("source", "")),
            fingerprint=str(image.get("fingerprint", "")),
        )
    except (TypeError, ValueError) as error:
        msg = f"{where}: {error}"
        raise FileReadError(msg) from error


def _asdf() -> Any:  # noqa: ANN401 - released without types
    """Return the package asdf."""
    try:
        import asdf
    except ImportError as error:
        msg = "asdf is not installed; `pip install pixtrace[asdf]` brings it, or use a .fits file"
        raise MissingExtraError(msg) from error
    return asdf


@contextmanager
def _configured(asdf: Any) -> Generator[None]:  # noqa: ANN401
    """Let asdf know our extension, also where the entry points are not installed, and let it raise what goes wrong."""
    from pixtrace.io.models.asdf_extension import EXTENSION_URI, extensions, resource_mappings

    with asdf.config_context() as config:
        config.validate_on_read = True
        if hasattr(config, "warn_on_failed_conversion"):  # else it always raises
            config.warn_on_failed_conversion = False
        if all(getattr(known, "extension_uri", None) != EXTENSION_URI for known in config.extensions):
            for mapping in resource_mappings():
                config.add_resource_mapping(mapping)
            for extension in extensions():
                config.add_extension(extension)
        yield
