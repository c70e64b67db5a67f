"""Putting our kernels behind the functions of jwst's step, and taking them out again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from pixtrace.adapters.jwst._peer import places

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from pixtrace.adapters.jwst._kernels import Kernels

__all__ = ["Enabled", "disable", "enable", "is_enabled", "original_of"]


class Enabled:
    """What `enable` returns: a context manager that takes the kernels out at the end of its block.

    Notes
    -----
    Blocks may be nested, and be open in several threads: the kernels stay in while any of them is open.
    """

    def __enter__(self) -> Self:
        """Keep the kernels in until the end of the block."""
        _switch.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of them."""
        _switch.leave(self)

    def __repr__(self) -> str:
        return f"<Enabled: jwst with the kernels of pixtrace {'in' if is_enabled() else 'not in'} place>"


class _Switch:
    """Who wants the kernels in, and what they have replaced."""

    def __init__(self) -> None:
        self._lock: Final = threading.RLock()
        self._calls: set[Enabled] = set()  # of `enable` that were not used as blocks
        self._blocks: list[tuple[Enabled, int]] = []  # open ones, and the threads they were opened in
        self._replaced: list[tuple[Any, str, Callable[..., Any]]] = []  # module, name, and what was there
        self._kernels: Kernels | None = None
        self.is_on = False

    def call(self, handle: Enabled) -> None:
        """Put the kernels in until `clear`."""
        with self._lock:
            self._put_in()
            self._calls.add(handle)

    def enter(self, handle: Enabled) -> None:
        """Put the kernels in until this handle leaves; that it was called before counts no more."""
        with self._lock:
            self._put_in()
            self._calls.discard(handle)
            self._blocks.append((handle, threading.get_ident()))

    def leave(self, handle: Enabled) -> None:
        """Forget the innermost block of a handle; take the kernels out if it was the last thing that wanted them."""
        with self._lock:
            for i in range(len(self._blocks) - 1, -1, -1):
                if self._blocks[i][0] is handle:
                    del self._blocks[i]
                    break
            self._take_out_if_unwanted()

    def clear(self) -> None:
        """Forget all calls, and the blocks of this thread; those of other threads keep the kernels in."""
        with self._lock:
            here = threading.get_ident()
            self._calls.clear()
            self._blocks = [(handle, thread) for handle, thread in self._blocks if thread != here]
            self._take_out_if_unwanted()

    def _put_in(self) -> None:
        if self.is_on:
            return
        where = places()
        from pixtrace.adapters.jwst._kernels import Kernels

        # Whatever is there is put back later, be it jwst's or what someone else has put there in the meantime; but not
        # one of ours that was put back behind our back, by someone who had found it there.
        before = {} if self._kernels is None else self._kernels.originals
        ours = {} if self._kernels is None else {id(f): before[name] for name, f in self._kernels.functions.items()}
        found = [(module, name, getattr(module, name)) for module, name in where]
        self._replaced = [(module, name, ours.get(id(there), there)) for module, name, there in found]
        originals: dict[str, Callable[..., Any]] = {}
        for _, name, original in self._replaced:
            originals.setdefault(name, original)
        self._kernels = Kernels(where[0][0], originals, lambda: self.is_on)
        for module, name, _ in self._replaced:
            setattr(module, name, self._kernels.functions[name])
        self.is_on = True

    def _take_out_if_unwanted(self) -> None:
        if not self.is_on or self._calls or self._blocks:
            return
        self.is_on = False
        for module, name, original in self._replaced:
            setattr(module, name, original)

    def original(self, module: Any, name: str) -> Callable[..., Any]:  # noqa: ANN401
        """Return what is in a module when ours is not."""
        with self._lock:
            for there, known, function in self._replaced if self.is_on else ():
                if there is module and known == name:
                    return function
            found: Callable[..., Any] = getattr(module, name)
            return found


_switch: Final = _Switch()


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
    handle = Enabled()
    _switch.call(handle)
    return handle


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
    return _switch.original(module, name)
