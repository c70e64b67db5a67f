"""Drop in where people already work: the ``adaptive_trace_model`` step of jwst 3.0.x with our kernels.

One line makes an unchanged pipeline fast::

    import pixtrace.adapters.jwst

    pixtrace.adapters.jwst.enable()

`enable` puts our kernels behind the step's own functions in the running process, `disable` takes them out again, and
``with enable():`` does both. `AdaptiveTraceModelStep` is the same step as a class of its own, for ``strun``, for
pipelines by assignment, and for hooks. `compare` runs both implementations on an exposure and says how far they are
apart and how long they take.

Importing this costs nothing: jwst (extra ``pixtrace[jwst]``) is imported when something is used, and if it is not
installed, or not in a release that is known here, that is when the error comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixtrace.adapters.jwst._peer import is_installed, missing
from pixtrace.adapters.jwst._switch import Enabled, disable, enable, is_enabled

if TYPE_CHECKING:
    from pixtrace.adapters.jwst._compare import compare
    from pixtrace.adapters.jwst._report import Comparison
    from pixtrace.adapters.jwst._step import AdaptiveTraceModelStep

__all__ = [
    "AdaptiveTraceModelStep",
    "Comparison",
    "Enabled",
    "compare",
    "disable",
    "enable",
    "get_steps",
    "is_enabled",
]


def get_steps() -> list[tuple[str, str, bool]]:
    """Return what stpipe wants to know of our steps (entry point ``stpipe.steps``).

    Returns
    -------
    list of (str, str, bool)
        Full name, alias, and whether it is a pipeline. The alias is one of its own: ``strun adaptive_trace_model``
        must not become ambiguous for whoever has pixtrace installed.
    """
    return [("pixtrace.adapters.jwst.AdaptiveTraceModelStep", "pixtrace_adaptive_trace_model", False)]


class _NotInstalled(type):
    """The class of a step that cannot be, because jwst is not installed: importing it is free, using it is not."""

    def __call__(cls, *_: object, **__: object) -> Any:  # noqa: ANN401
        raise missing()

    def __getattr__(cls, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing()


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class or a function
    if name == "AdaptiveTraceModelStep":
        if not is_installed():
            return _NotInstalled(name, (), {"__doc__": str(missing()), "__module__": __name__})
        from pixtrace.adapters.jwst import _step

        return _step.AdaptiveTraceModelStep
    if name in {"Comparison", "compare"}:
        from pixtrace.adapters.jwst import _compare

        return getattr(_compare, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
