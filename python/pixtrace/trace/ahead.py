"""Work on the next piece in another thread while the caller deals with the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future

    Progress = Callable[[int, int], object]

__all__ = ["work_ahead"]

_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")

#: Seconds between two looks at the progress.
_TICK = 0.05


class _StoppedError(Exception):
    """Nobody waits for the result any more."""


class _Watch:
    """What the working thread tells of its progress, and what it is told."""

    def __init__(self) -> None:
        self.is_stopped = False
        self._news: list[tuple[int, int]] = []

    def note(self, done: int, total: int) -> None:
        """Take a report; end the work if it is to end."""
        if self.is_stopped:
            raise _StoppedError
        self._news.append((done, total))

    def pass_on(self, progress: Progress | None) -> None:
        """Tell the caller, in the caller's thread."""
        while self._news:
            done, total = self._news.pop(0)
            if progress is not None:
                progress(done, total)


def work_ahead(
    work: Callable[[_Piece, Progress], _Result],
    pieces: Iterable[_Piece],
    progress: Callable[[_Piece], Progress | None],
) -> Generator[_Result]:
    """Yield what is made of each piece, with one more in the making.

    Parameters
    ----------
    work : callable
        Called as ``work(piece, note)`` in a thread of its own, one piece after another; it has to call
        ``note(done, total)`` now and then, and to pass on what that raises.
    pieces : iterable
        What to work on; it is gone through in the caller's thread, at most two ahead of the results.
    progress : callable
        Called with each piece in turn, returns the function that is told of its progress, or None. That one is called
        in the caller's thread, while the caller waits.

    Yields
    ------
    object
        The results, in order. An exception of `work` or of the progress function comes out here; whenever the generator
        ends, by Ctrl-C too, the work is over.
    """
    from concurrent.futures import ThreadPoolExecutor  # takes its time to import

    watches: list[_Watch] = []

    def waited_for(future: Future[_Result], watch: _Watch, tell: Progress | None) -> _Result:
        while True:
            try:
                result = future.result(timeout=_TICK)
            except TimeoutError:
                if future.done():  # it is the work that timed out
                    raise
                watch.pass_on(tell)
            else:
                watch.pass_on(tell)
                return result

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="pixtrace") as pool:
        try:
            before: tuple[Future[_Result], _Watch, Progress | None] | None = None
            for piece in pieces:
                watch = _Watch()
                watches.append(watch)
                following = pool.submit(work, piece, watch.note), watch, progress(piece)
                if before is not None:
                    yield waited_for(*before)
                before = following
            if before is not None:
                yield waited_for(*before)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for watch in watches:
                watch.is_stopped = True
