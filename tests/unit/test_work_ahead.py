"""Work on the next piece while the caller has the last one: order, exceptions, progress, and an end in any case."""

import threading
from collections.abc import Callable

import pytest

from pixtrace.trace.ahead import work_ahead

Progress = Callable[[int, int], object]
#: Seconds after which a test that waits for another thread gives up.
PATIENCE = 30.0


def silent(_: int) -> None:
    """Return no progress function."""


def test_results_come_in_order() -> None:
    assert list(work_ahead(lambda piece, _: piece**2, range(6), silent)) == [0, 1, 4, 9, 16, 25]
    assert list(work_ahead(lambda piece, _: piece, iter(()), silent)) == []


def test_the_next_piece_is_in_the_making() -> None:
    started = [threading.Event() for _ in range(3)]

    def work(piece: int, _: Progress) -> int:
        started[piece].set()
        return piece

    results = work_ahead(work, range(3), silent)
    assert next(results) == 0
    assert started[1].wait(PATIENCE)
    results.close()


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, TimeoutError])
def test_exceptions_of_the_work_come_out(kind: type[BaseException]) -> None:
    def work(piece: int, _: Progress) -> int:
        if piece == 1:
            raise kind
        return piece

    results = work_ahead(work, range(4), silent)
    assert next(results) == 0
    with pytest.raises(kind):
        next(results)


def test_progress_is_told_in_the_thread_of_the_caller() -> None:
    seen: list[tuple[int, int, bool]] = []

    def work(piece: int, note: Progress) -> int:
        assert threading.current_thread() is not threading.main_thread()
        note(1, 2)
        note(2, 2)
        return piece

    def progress(piece: int) -> Progress:
        return lambda done, _: seen.append((piece, done, threading.current_thread() is threading.main_thread()))

    assert list(work_ahead(work, range(2), progress)) == [0, 1]
    assert seen == [(0, 1, True), (0, 2, True), (1, 1, True), (1, 2, True)]


def endless(piece: int, note: Progress) -> int:
    """Work that does not end by itself, but for the first piece."""
    while piece:
        note(0, 1)
    return piece


def test_the_work_is_over_when_the_generator_is() -> None:
    results = work_ahead(endless, range(3), silent)
    assert next(results) == 0
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pixtrace")]


def test_an_exception_of_the_progress_function_ends_the_work() -> None:
    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(work_ahead(endless, range(1, 3), lambda _: stop))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pixtrace")]
