"""Files that are there complete, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pixtrace.exceptions import OutputError, OutputExistsError, PixtraceError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["atomic_path", "check_output", "remedy_for"]

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space or choose another directory",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another directory",
    errno.EACCES: "it may not be written; choose another directory or change its permissions",
    errno.EPERM: "it may not be written; choose another directory or change its permissions",
    errno.EROFS: "the file system is read-only; choose another directory",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EFBIG: "the file is larger than is allowed here; choose another directory or raise the limit (ulimit -f)",
}


def remedy_for(error: OSError) -> str:
    """Return what is wrong, and what can be done about it, when a file cannot be written.

    Parameters
    ----------
    error : OSError
        The error of the system.

    Returns
    -------
    str
        A few words.
    """
    return _REMEDIES.get(error.errno or 0, error.strerror or str(error))


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Return `path` if a file can be written there, before any work is spent on what it is to hold.

    Parameters
    ----------
    path : path-like
        The file to be written; its directory must exist.
    overwrite : bool, optional
        Whether a file that is there already may be replaced.

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    OutputExistsError
        It is there already, and `overwrite` is false.
    OutputError
        Its directory does not exist or may not be written, or a directory bears its name.
    """
    path = Path(path)
    try:
        is_directory = stat.S_ISDIR(path.parent.stat().st_mode)
        found = _mode_or_none(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    if not is_directory:
        msg = f"cannot write {path}: {path.parent} is not a directory"
        raise OutputError(msg)
    if found is not None and stat.S_ISDIR(found):
        msg = f"cannot write {path}: a directory bears that name; name a file"
        raise OutputError(msg)
    if not overwrite and found is not None:
        msg = f"{path} is there already; allow overwriting (--overwrite, overwrite=True) or choose another name"
        raise OutputExistsError(msg)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _cannot_write(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    return path


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Generator[Path]:
    """Yield a temporary name beside `path`, and move what was written there to `path` at the end.

    The temporary file is brought to the disk before it takes the name, and is removed if the block ends with any
    exception, Ctrl-C included: whoever looks sees the old file or the new one, never a part of it.

    Parameters
    ----------
    path : path-like
        The file to be written; its directory must exist.
    overwrite : bool, optional
        Whether a file that is there already may be replaced. A file that appears while the block runs is not
        replaced either.

    Yields
    ------
    Path
        Where to write: a name in the same directory and with the same suffixes, which does not exist yet.

    Raises
    ------
    OutputExistsError
        `path` is there already, and `overwrite` is false.
    OutputError
        It cannot be written, or nothing was.
    """
    path = check_output(path, overwrite=overwrite)
    partial = path.with_name(f".{secrets.token_hex(4)}.partial.{path.name[-200:]}")
    try:
        yield partial
        if not partial.exists():
            msg = f"cannot write {path}: nothing was written to its temporary name"
            raise OutputError(msg)
        _to_disk(partial)
        if overwrite:
            partial.replace(path)
        else:
            _move_unless_there(partial, path)
    except PixtraceError:
        raise
    except OSError as error:
        # One that names another file is about that file.
        if error.filename is None or os.fspath(error.filename) == os.fspath(partial):
            raise _cannot_write(path, error) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _mode_or_none(path: Path) -> int | None:
    """Return the mode of what bears that name, None if nothing does."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _to_disk(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _move_unless_there(source: Path, target: Path) -> None:
    """Move a file to a name that nothing bears yet, as one step where the file system can do that."""
    try:
        os.link(source, target)
    except FileExistsError:
        msg = f"{target} appeared while it was being written; allow overwriting or choose another name"
        raise OutputExistsError(msg) from None
    except OSError:  # no hard links here
        source.replace(target)


def _cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the error to be raised instead of `error`."""
    if error.errno == errno.ENOENT:
        reason = f"the directory {path.parent} does not exist; make it first"
    else:
        reason = remedy_for(error)
    refusal = OutputError(f"cannot write {path}: {reason}")
    refusal.errno = error.errno
    return refusal
