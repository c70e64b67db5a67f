"""The switch of all adapters, on a peer of two modules made here: what is in while, and that it is as it was after."""

import random
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

from pixtrace.adapters._switch import Place, Switch


def theirs() -> str:
    return "theirs"


def fail(*_: Any) -> Any:
    raise KeyError


class Peer:
    """Two modules that look up the function `f`, one of which has `g` too; and a switch for them."""

    def __init__(self) -> None:
        self.modules: Any = ModuleType("one"), ModuleType("other")
        self.made: list[list[Any]] = []
        for module, name in self.places():
            setattr(module, name, theirs)
        self.before = self.contents()
        self.switch = Switch("the peer with ours", self.places, self.make)

    def contents(self) -> list[dict[str, Any]]:
        return [dict(vars(module)) for module in self.modules]

    def places(self) -> list[tuple[Any, str]]:
        one, other = self.modules
        return [(one, "f"), (one, "g"), (other, "f")]

    def make(self, places: Sequence[Place]) -> list[Any]:
        self.made.append([lambda: "ours" for _ in places])
        return self.made[-1]

    @property
    def said(self) -> set[str]:
        """What the functions of the peer return."""
        return {getattr(module, name)() for module, name in self.places()}


@pytest.fixture
def peer() -> Peer:
    return Peer()


def is_untouched(peer: Peer) -> bool:
    return peer.contents() == peer.before and not peer.switch.is_on


def test_a_call_puts_ours_in_everywhere_until_it_is_cleared(peer: Peer) -> None:
    handle = peer.switch.call()
    assert peer.said == {"ours"}
    assert peer.switch.is_on
    assert repr(handle) == "<Enabled: the peer with ours in place>"
    peer.switch.call()
    peer.switch.clear()
    assert is_untouched(peer)
    assert "not in place" in repr(handle)


def test_blocks_end_with_the_last_of_them(peer: Peer) -> None:
    handle = peer.switch.call()
    with handle, handle:
        with peer.switch.call():
            assert peer.said == {"ours"}
        assert peer.said == {"ours"}
    assert is_untouched(peer)


def test_a_block_leaves_an_earlier_call_alone(peer: Peer) -> None:
    peer.switch.call()
    with peer.switch.call():
        pass
    assert peer.said == {"ours"}


def test_clearing_ends_the_blocks_of_this_thread(peer: Peer) -> None:
    with peer.switch.call(), peer.switch.call():
        peer.switch.clear()
        assert is_untouched(peer)
    assert is_untouched(peer)


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_an_exception_ends_a_block(peer: Peer, error: type[BaseException]) -> None:
    def work() -> None:
        with peer.switch.call(), peer.switch.call():
            raise error

    with pytest.raises(error):
        work()
    assert is_untouched(peer)


def test_nothing_is_changed_if_the_peer_cannot_be_used(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    switches = Switch("", fail, peer.make), Switch("", peer.places, fail)
    for switch in switches:
        for _ in range(2):
            with pytest.raises(KeyError):
                switch.call()
        switch.clear()
        assert not switch.is_on
    monkeypatch.delattr(peer.modules[1], "f")
    with pytest.raises(AttributeError):
        peer.switch.call()
    monkeypatch.undo()
    assert is_untouched(peer)


def test_a_block_of_another_thread_keeps_ours_in(peer: Peer) -> None:
    inside, go_on = threading.Event(), threading.Event()
    seen: list[set[str]] = []

    def work() -> None:
        with peer.switch.call():
            inside.set()
            go_on.wait()
            seen.append(peer.said)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    peer.switch.call()
    peer.switch.clear()
    go_on.set()
    thread.join()
    assert seen == [{"ours"}]
    assert is_untouched(peer)


def test_threads_that_come_and_go_and_fail(peer: Peer) -> None:
    gate, wrong = threading.Barrier(8), list[str]()

    def work(k: int) -> None:
        numbers = random.Random(k)  # noqa: S311 - for the order of threads
        gate.wait()
        for _ in range(50):
            try:
                with peer.switch.call():
                    if peer.said != {"ours"}:
                        wrong.append("a block without ours")
                    if numbers.random() < 0.5:
                        fail()
            except KeyError:
                pass
            if k % 2:
                peer.switch.call()
                peer.switch.clear()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert is_untouched(peer)
    assert len(peer.made) == 1  # nothing else was there meanwhile


def test_what_someone_else_has_put_there_comes_back(peer: Peer) -> None:
    def another() -> str:
        return "another"

    peer.modules[1].f = another
    with peer.switch.call():
        assert peer.said == {"ours"}
        assert peer.switch.original(peer.modules[1], "f") is another
        assert peer.switch.original(peer.modules[0], "f") is peer.before[0]["f"]
    assert peer.modules[1].f is another
    assert peer.switch.original(peer.modules[1], "f") is another


def test_ours_put_back_behind_our_back_is_not_taken_for_the_original(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.switch.call()
    monkeypatch.setattr(peer.modules[0], "f", lambda: "a test's")
    peer.switch.clear()
    peer.modules[0].f = lambda: "another"
    with peer.switch.call():
        assert peer.said == {"ours"}
    monkeypatch.undo()
    assert peer.modules[0].f() == "ours"
    with peer.switch.call():
        assert peer.said == {"ours"}
    assert is_untouched(peer)
