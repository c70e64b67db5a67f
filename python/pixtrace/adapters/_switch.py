"""Putting ours in the place of a peer's, and taking it out again: one mechanism for all adapters.

Who wants it in, by calls and by blocks that may be nested and open in several threads; what was there before, and that
it comes back, come what may. What is put in, and where, is all that an adapter says.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from types import TracebackType
    from typing import Self

__all__ = ["Enabled", "Place", "Switch", "in_place"]


class Place(NamedTuple):
    """A name in a module of the peer, and what it is bound to without us."""

    module: Any
    name: str
    original: Any


class Enabled:
    """What `enable` returns: a context manager that takes ours out at the end of its block.

    Parameters
    ----------
    switch : Switch
        The switch of the adapter.

    Notes
    -----
    Blocks may be nested, and be open in several threads: ours stays in while any of them is open.
    """

    def __init__(self, switch: Switch) -> None:
        self._switch: Final = switch

    def __enter__(self) -> Self:
        """Keep ours in until the end of the block."""
        self._switch.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of it."""
        self._switch.leave(self)

    def __repr__(self) -> str:
        return f"<Enabled: {self._switch.what} {'in' if self._switch.is_on else 'not in'} place>"


class Switch:
    """Who wants ours in, and what it has replaced.

    Parameters
    ----------
    what : str
        What is put in, for people.
    places : callable
        Returns the modules of the peer and the names in them that are replaced; raises if the peer is not there, or
        not in a release that is known.
    make : callable
        Is given these places, with what is there, and returns what is put there, in the same order. It is called again
        only when something else is there than the last time.

    Attributes
    ----------
    what : str
        See above.
    is_on : bool
        Whether ours is in place.
    """

    def __init__(
        self,
        what: str,
        places: Callable[[], Sequence[tuple[Any, str]]],
        make: Callable[[Sequence[Place]], Sequence[Any]],
    ) -> None:
        self.what: Final = what
        self.is_on = False
        self._where: Final = places
        self._make: Final = make
        self._lock: Final = threading.RLock()
        self._calls: set[Enabled] = set()  # of `enable` that were not used as blocks
        self._blocks: list[tuple[Enabled, int]] = []  # open ones, and the threads they were opened in
        self._replaced: list[Place] = []  # now, or the last time
        self._ours: list[Any] = []  # what was put there
        self._known: list[tuple[Place, Any]] = []  # all that ever was, while what it had replaced changed

    def call(self) -> Enabled:
        """Put ours in until `clear`, or until the end of the block if what is returned is used as one."""
        handle = Enabled(self)
        with self._lock:
            self._put_in()
            self._calls.add(handle)
        return handle

    def enter(self, handle: Enabled) -> None:
        """Put ours in until this handle leaves; that it was called before counts no more."""
        with self._lock:
            self._put_in()
            self._calls.discard(handle)
            self._blocks.append((handle, threading.get_ident()))

    def leave(self, handle: Enabled) -> None:
        """Forget the innermost block of a handle; take ours out if it was the last thing that wanted it."""
        with self._lock:
            for i in range(len(self._blocks) - 1, -1, -1):
                if self._blocks[i][0] is handle:
                    del self._blocks[i]
                    break
            self._take_out_if_unwanted()

    def clear(self) -> None:
        """Forget all calls, and the blocks of this thread; those of other threads keep ours in."""
        with self._lock:
            here = threading.get_ident()
            self._calls.clear()
            self._blocks = [(handle, thread) for handle, thread in self._blocks if thread != here]
            self._take_out_if_unwanted()

    def original(self, module: Any, name: str) -> Any:  # noqa: ANN401
        """Return what is in a module when ours is not."""
        with self._lock:
            for place in self._replaced if self.is_on else ():
                if place.module is module and place.name == name:
                    return place.original
            return getattr(module, name)

    def _put_in(self) -> None:
        if self.is_on:
            return
        found = [self._without_ours(Place(module, name, getattr(module, name))) for module, name in self._where()]
        if found != self._replaced:
            ours = list(self._make(found))
            self._replaced, self._ours = found, ours
            self._known += zip(found, ours, strict=True)
        for place, ours in zip(self._replaced, self._ours, strict=True):
            setattr(place.module, place.name, ours)
        self.is_on = True

    def _without_ours(self, found: Place) -> Place:
        """Return what is to be put back at a place, given what is there now.

        Whatever it is, be it the peer's or what someone else has put there in the meantime; but not one of ours, put
        back behind our back by someone who had found it there.
        """
        for place, ours in self._known:
            if ours is found.original and place.name == found.name and place.module is found.module:
                return place
        return found

    def _take_out_if_unwanted(self) -> None:
        if not self.is_on or self._calls or self._blocks:
            return
        self.is_on = False
        for place in self._replaced:
            setattr(place.module, place.name, place.original)


@contextmanager
def in_place(things: Iterable[tuple[Any, str, Any]]) -> Generator[None]:
    """Put things into modules while the block runs; afterwards what was there is there again.

    Parameters
    ----------
    things : iterable of (module, str, object)
        Module, name in it, and what it is to be bound to.
    """
    things = list(things)
    before = [(module, name, getattr(module, name)) for module, name, _ in things]
    try:
        for module, name, thing in things:
            setattr(module, name, thing)
        yield
    finally:
        for module, name, thing in before:
            setattr(module, name, thing)
