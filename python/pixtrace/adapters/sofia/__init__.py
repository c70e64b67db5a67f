"""Drop in where people already work: pixel maps of sofia_redux 1.5.2 with our maps inside.

One line sends an unchanged ``beammap`` reduction through pixtrace::

    import pixtrace.adapters.sofia

    pixtrace.adapters.sofia.enable()

`enable` puts `PixelMap` in the place of sofia_redux's own in the running process, `disable` takes it out again, and
``with enable():`` does both. `PixelMap` can also be used by itself, as ``PixelMap(info, reduction)``. `compare` runs
both implementations on a scan and says how far they are apart and how long they take.

Importing this costs nothing: sofia_redux (extra ``pixtrace[sofia]``) is imported when something is used, and if it is
not installed, or in another release, that is when the error comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixtrace.adapters.sofia._peer import is_installed, missing
from pixtrace.adapters.sofia._switch import Enabled, disable, enable, is_enabled

if TYPE_CHECKING:
    from pixtrace.adapters.sofia._compare import Comparison, compare
    from pixtrace.adapters.sofia._maps import IntensityMap
    from pixtrace.adapters.sofia._model import PixelMap

__all__ = ["Comparison", "Enabled", "IntensityMap", "PixelMap", "compare", "disable", "enable", "is_enabled"]


class _NotInstalled(type):
    """A class that cannot be, because sofia_redux is not installed: importing it is free, using it is not."""

    def __call__(cls, *_: object, **__: object) -> Any:  # noqa: ANN401
        raise missing()

    def __getattr__(cls, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing()


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class
    if name in {"IntensityMap", "PixelMap"}:
        if not is_installed():
            return _NotInstalled(name, (), {"__doc__": str(missing()), "__module__": __name__})
        if name == "PixelMap":
            from pixtrace.adapters.sofia import _model

            return _model.PixelMap
        from pixtrace.adapters.sofia import _maps

        return _maps.IntensityMap
    if name in {"Comparison", "compare"}:
        from pixtrace.adapters.sofia import _compare

        return getattr(_compare, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
