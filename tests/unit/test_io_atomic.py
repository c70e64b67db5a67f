import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pixtrace.exceptions import OutputError, OutputExistsError
from pixtrace.io.atomic import atomic_path, check_output


def write(target: Path, work: Callable[[Path], object], *, overwrite: bool = False) -> None:
    """Write a file through a temporary name."""
    with atomic_path(target, overwrite=overwrite) as partial:
        partial.write_text("mine")
        work(partial)


def names(directory: Path) -> list[str]:
    """Return the names of all files in a directory, hidden ones too."""
    return sorted(path.name for path in directory.iterdir())


def test_the_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a.fits.gz"
    with atomic_path(target) as partial:
        assert partial.parent == tmp_path
        assert partial.name.endswith("a.fits.gz")
        partial.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.fits.gz"]


def test_an_existing_file_stays_unless_told_otherwise(tmp_path: Path) -> None:
    target = tmp_path / "a.fits"
    target.write_text("old")
    with pytest.raises(OutputExistsError, match=r"a\.fits is there already"), atomic_path(target):
        pytest.fail("the block must not run")
    with atomic_path(target, overwrite=True) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_a_file_that_appears_meanwhile_is_not_lost(tmp_path: Path) -> None:
    target = tmp_path / "a.fits"
    with pytest.raises(OutputExistsError, match="appeared"):
        write(target, lambda _: target.write_text("theirs"))
    assert target.read_text() == "theirs"
    assert names(tmp_path) == ["a.fits"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_nothing_is_left_after_an_exception(tmp_path: Path, error: BaseException) -> None:
    def fail(_: Path) -> None:
        raise error

    target = tmp_path / "a.fits"
    target.write_text("old")
    with pytest.raises(type(error)):
        write(target, fail, overwrite=True)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.fits"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match=r"cannot write .*a\.fits: the disk is full") as caught:
        write(tmp_path / "a.fits", fail)
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_a_real_limit_of_the_file_size(tmp_path: Path) -> None:
    program = """
import resource, signal, sys
from pixtrace.exceptions import OutputError
from pixtrace.io.atomic import atomic_path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_path(sys.argv[1]) as partial:
        partial.write_bytes(bytes(100_000))
except OutputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.fits")], capture_output=True, text=True, check=True
    )
    assert "the file is larger than is allowed here" in done.stdout
    assert names(tmp_path) == []


def test_an_error_about_another_file_is_not_ours(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic_path(tmp_path / "a.fits"):
        (tmp_path / "elsewhere").read_text()


def test_writing_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nothing was written"), atomic_path(tmp_path / "a.fits"):
        pass


def test_checks_before_the_work(tmp_path: Path) -> None:
    assert check_output(tmp_path / "a.fits") == tmp_path / "a.fits"
    with pytest.raises(OutputError, match=r"the directory .*none does not exist"):
        check_output(tmp_path / "none" / "a.fits")
    with pytest.raises(OutputError, match="a directory bears that name"):
        check_output(tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OutputError, match=r"file is not a directory|Not a directory"):
        check_output(file / "a.fits")
    with pytest.raises(OutputError, match="the name is too long"):
        check_output(tmp_path / ("x" * 300 + ".fits"))


def test_a_directory_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The superuser may write everywhere, so what the system says is put in its place.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match=r"cannot write .*a\.fits: it may not be written"):
        check_output(tmp_path / "a.fits")


def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    with atomic_path(tmp_path / "a.fits") as partial:
        partial.write_text("new")
    assert (tmp_path / "a.fits").read_text() == "new"
    assert names(tmp_path) == ["a.fits"]


def test_the_same_name_in_two_threads_does_not_collide(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.fits", overwrite=True) as one:
        one.write_text("one")
        with atomic_path(tmp_path / "a.fits", overwrite=True) as two:
            assert one != two
            two.write_text("two")
    assert (tmp_path / "a.fits").read_text() == "one"
