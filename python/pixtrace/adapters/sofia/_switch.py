"""Our `PixelMap` in the place of sofia_redux's: what is put in, and where. How, is `pixtrace.adapters._switch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pixtrace.adapters._switch import Enabled, Place, Switch
from pixtrace.adapters.sofia._peer import places

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Enabled", "disable", "enable", "is_enabled", "original_of"]


def enable() -> Enabled:
    """Put our `PixelMap` in the place of sofia_redux's own in this process.

    Reductions that are set up from now on with ``source.type = pixelmap`` (``beammap``) add, merge, subtract and fit
    with pixtrace. What was set up before stays as it is.

    Returns
    -------
    Enabled
        To be used as ``with enable(): ...`` where our class is to be taken out again, come what may. Without ``with``
        it stays in until `disable`.

    Raises
    ------
    MissingExtraError
        sofia_redux is not installed.
    UnsupportedVersionError
        It is installed in another release than 1.5.2.
    """
    return _switch.call()


def disable() -> None:
    """Take our `PixelMap` out again: sofia_redux is as it was.

    That undoes all calls of `enable`, and ends its blocks that are open in this thread. A block that is open in another
    thread keeps our class in until it ends.
    """
    _switch.clear()


def is_enabled() -> bool:
    """Tell whether our `PixelMap` is in place.

    Returns
    -------
    bool
        True between `enable` and `disable`, and within ``with enable():``.
    """
    return _switch.is_on


def original_of(module: Any, name: str) -> Any:  # noqa: ANN401
    """Return what is in a module of sofia_redux when our class is not.

    Parameters
    ----------
    module : module
        One of sofia_redux.
    name : str
        The name in it.

    Returns
    -------
    type
        The class.
    """
    return _switch.original(module, name)


def _classes(replaced: Sequence[Place]) -> list[Any]:
    """Return our class for each of the places of theirs."""
    from pixtrace.adapters.sofia._model import PixelMap

    return [PixelMap] * len(replaced)


_switch: Final = Switch("sofia_redux with the pixel maps of pixtrace", places, _classes)
