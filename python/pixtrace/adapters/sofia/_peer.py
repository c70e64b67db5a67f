"""The package sofia_redux: whether it is there, in the release we know, and where it looks for `PixelMap`."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from typing import Any, Final

from pixtrace.exceptions import MissingExtraError, UnsupportedVersionError

__all__ = ["SUPPORTED", "check", "is_installed", "missing", "peer_module", "places", "version"]

#: The release of sofia_redux that this adapter is made for, and tested with.
SUPPORTED: Final = "1.5.2"
_REMEDY = 'pip install "pixtrace[sofia]"'
_MODELS = "sofia_redux.scan.source_models"


def is_installed() -> bool:
    """Tell whether sofia_redux is installed, without importing it."""
    try:
        return importlib.util.find_spec("sofia_redux") is not None
    except ValueError:  # blocked
        return False


def missing() -> MissingExtraError:
    """Return the error that says what to install."""
    return MissingExtraError(
        f"pixtrace.adapters.sofia needs the package sofia_redux {SUPPORTED}, which is not installed: {_REMEDY}"
    )


def version() -> str:
    """Return the release of sofia_redux that is installed.

    Raises
    ------
    MissingExtraError
        None is.
    """
    try:
        return importlib.metadata.version("sofia_redux")
    except importlib.metadata.PackageNotFoundError as error:
        raise missing() from error


def check() -> None:
    """Make sure that sofia_redux can be used.

    Raises
    ------
    MissingExtraError
        It is not installed.
    UnsupportedVersionError
        It is installed in another release than the one that is known here.
    """
    if not is_installed():
        raise missing()
    found = version()
    if found != SUPPORTED:
        msg = f"sofia_redux {found} is installed, and pixtrace.adapters.sofia works with {SUPPORTED}: {_REMEDY}"
        raise UnsupportedVersionError(msg)


def peer_module(name: str) -> Any:  # noqa: ANN401 - a module of a package without types
    """Return a module of sofia_redux, by its full name.

    Raises
    ------
    MissingExtraError
        sofia_redux, or something that it needs, is not installed.
    UnsupportedVersionError
        See `check`.
    """
    check()
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = f"{name} of sofia_redux {SUPPORTED} cannot be imported ({error}); install it anew: {_REMEDY}"
        raise MissingExtraError(msg) from error


def places() -> list[tuple[Any, str]]:
    """Return where `PixelMap` is looked up: modules of sofia_redux, and the name in them.

    Raises
    ------
    MissingExtraError, UnsupportedVersionError
        See `peer_module`.
    """
    names = (f"{_MODELS}.pixel_map", "sofia_redux.scan.info.camera.info")
    return [(peer_module(name), "PixelMap") for name in names]
