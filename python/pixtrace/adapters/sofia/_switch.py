"""Putting our `PixelMap` in the place of sofia_redux's, and taking it out again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from pixtrace.adapters.sofia._peer import places

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Enabled", "disable", "enable", "is_enabled"]


class Enabled:
    """What `enable` returns: a context manager that takes our class out at the end of its block.

    Notes
    -----
    Blocks may be nested, and be open in several threads: our class stays in while any of them is open.
    """

    def __enter__(self) -> Self:
        """Keep our class in until the end of the block."""
        _switch.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of it."""
        _switch.leave(self)

    def __repr__(self) -> str:
        return f"<Enabled: sofia_redux with the pixel maps of pixtrace {'in' if is_enabled() else 'not in'} place>"


class _Switch:
    """Who wants our class in, and what it has replaced."""

    def __init__(self) -> None:
        self._lock: Final = threading.RLock()
        self._calls: set[Enabled] = set()  # of `enable` that were not used as blocks
        self._blocks: list[tuple[Enabled, int]] = []  # open ones, and the threads they were opened in
        self._replaced: list[tuple[Any, str, Any]] = []  # module, name, and what was there
        self.is_on = False

    def call(self, handle: Enabled) -> None:
        """Put our class in until `clear`."""
        with self._lock:
            self._put_in()
            self._calls.add(handle)

    def enter(self, handle: Enabled) -> None:
        """Put our class in until this handle leaves; that it was called before counts no more."""
        with self._lock:
            self._put_in()
            self._calls.discard(handle)
            self._blocks.append((handle, threading.get_ident()))

    def leave(self, handle: Enabled) -> None:
        """Forget the innermost block of a handle; take our class out if it was the last thing that wanted it."""
        with self._lock:
            for i in range(len(self._blocks) - 1, -1, -1):
                if self._blocks[i][0] is handle:
                    del self._blocks[i]
                    break
            self._take_out_if_unwanted()

    def clear(self) -> None:
        """Forget all calls, and the blocks of this thread; those of other threads keep our class in."""
        with self._lock:
            here = threading.get_ident()
            self._calls.clear()
            self._blocks = [(handle, thread) for handle, thread in self._blocks if thread != here]
            self._take_out_if_unwanted()

    def _put_in(self) -> None:
        if self.is_on:
            return
        where = places()
        from pixtrace.adapters.sofia._model import PixelMap

        self._replaced = [(module, name, getattr(module, name)) for module, name in where]
        for module, name, _ in self._replaced:
            setattr(module, name, PixelMap)
        self.is_on = True

    def _take_out_if_unwanted(self) -> None:
        if not self.is_on or self._calls or self._blocks:
            return
        self.is_on = False
        for module, name, original in self._replaced:
            setattr(module, name, original)
        self._replaced = []


_switch: Final = _Switch()


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
    handle = Enabled()
    _switch.call(handle)
    return handle


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
