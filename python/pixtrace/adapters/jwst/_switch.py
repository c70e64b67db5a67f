"""Our kernels behind the functions of jwst's step: what is put in, and where. How, is `pixtrace.adapters._switch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pixtrace.adapters._switch import Enabled, Place, Switch
from pixtrace.adapters.jwst._peer import places

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Enabled", "disable", "enable", "is_enabled", "original_of"]


def enable() -> Enabled:
    """Put our kernels behind the functions of jwst's ``adaptive_trace_model`` step in this process.

    Replaced are `fit_all_regions`, `fit_2d_spline_trace`, `oversample_flux`, `linear_oversample`, `_trace_image`, and
    `fit_and_oversample`, which calls them. They take and return the same, faster; the step's parameter
    ``maximum_cores`` becomes a number of threads.

    Returns
    -------
    Enabled
        To be used as ``with enable(): ...`` where the kernels are to be taken out again, come what may. Without
        ``with`` they stay in until `disable`.

    Raises
    ------
    MissingExtraError
        jwst is not installed.
    UnsupportedVersionError
        It is installed in another release than 3.0.x.
    """
    return _switch.call()


def disable() -> None:
    """Take our kernels out again: every function of jwst is its own.

    That undoes all calls of `enable`, and ends its blocks that are open in this thread. A block that is open in another
    thread keeps them in until it ends.
    """
    _switch.clear()


def is_enabled() -> bool:
    """Tell whether our kernels are in place.

    Returns
    -------
    bool
        True between `enable` and `disable`, and within ``with enable():``.
    """
    return _switch.is_on


def original_of(module: Any, name: str) -> Callable[..., Any]:  # noqa: ANN401
    """Return the function that is in a module of jwst when ours is not.

    Parameters
    ----------
    module : module
        One of jwst's.
    name : str
        Name of the function in it.

    Returns
    -------
    callable
        The function.
    """
    function: Callable[..., Any] = _switch.original(module, name)
    return function


def _kernels(replaced: Sequence[Place]) -> list[Callable[..., Any]]:
    """Return our functions for the places of jwst's."""
    from pixtrace.adapters.jwst._kernels import Kernels

    originals: dict[str, Callable[..., Any]] = {}
    for place in replaced:
        originals.setdefault(place.name, place.original)
    kernels = Kernels(replaced[0].module, originals, is_enabled)
    return [kernels.functions[place.name] for place in replaced]


_switch: Final = Switch("jwst with the kernels of pixtrace", places, _kernels)
