"""The checkpoint of a beam map: what its loop needs in order to go on, as a small JSON file.

Numbers keep all their digits, so that a job that was interrupted ends with the very result of one that was not.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace.exceptions import FileReadError
from pixtrace.io.atomic import atomic_path
from pixtrace.scan.fits import PixelFits
from pixtrace.scan.rounds import LoopState, RoundRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pixtrace.io.scan.raw import ScanStream
    from pixtrace.scan.configuration import Configuration

__all__ = ["fingerprint", "read_state", "write_state"]

_KIND = "pixtrace beam map checkpoint"
_VERSION = 2
_WHOLE = {"fixed_index", "flag", "dof", "n_cells"}
#: Options that do not change what a round does: another number of rounds may be asked for when a job goes on.
_FREE = {
    *("rounds", "rounds.least", "rounds.position", "rounds.gain"),
    *("jobs", "memory", "outpath", "name", "source.flux"),
}


def fingerprint(streams: Sequence[ScanStream], options: Configuration) -> str:
    """Return what tells a job from others: its scans, and the options that matter.

    Parameters
    ----------
    streams : sequence of ScanStream
        The scans.
    options : Configuration
        The options.

    Returns
    -------
    str
        A checksum.
    """
    digest = hashlib.sha256()
    for stream in streams:
        facts = (stream.facts.camera, stream.facts.scan_id, stream.facts.object_name, stream.n_frames)
        digest.update(repr(facts).encode())
        for values in (stream.channels.fixed_index, stream.frames.time, stream.frames.offset, stream.frames.angle):
            digest.update(np.ascontiguousarray(values).tobytes())
    chosen = sorted((name, repr(value)) for name, value in options.changed().items() if name not in _FREE)
    digest.update(repr(chosen).encode())
    return digest.hexdigest()


def write_state(path: Path, state: LoopState, key: str) -> None:
    """Write a checkpoint, in one step, in place of an earlier one.

    Parameters
    ----------
    path : Path
        The file.
    state : LoopState
        The state after a round.
    key : str
        The fingerprint of the job.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    content: dict[str, Any] = {
        "kind": _KIND,
        "version": _VERSION,
        "job": key,
        "shift": np.asarray(state.shift).tolist(),
        "misfit": state.misfit,
        "misfit_before": state.misfit_before,
        "shift_before": np.asarray(state.shift_before).tolist(),
        "is_settled": state.is_settled,
        "records": [asdict(record) for record in state.records],
        "fits": [_as_lists(fits) for fits in state.fits],
        "before": [_as_lists(fits) for fits in state.before],
    }
    with atomic_path(path, overwrite=True) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")


def _as_lists(fits: PixelFits) -> dict[str, Any]:
    """Return fits as JSON knows them."""
    columns = {entry.name: getattr(fits, entry.name) for entry in fields(fits)}
    return {name: value if name == "method" else value.tolist() for name, value in columns.items()}


def read_state(path: Path, key: str) -> LoopState:
    """Return the state of a checkpoint.

    Parameters
    ----------
    path : Path
        The file.
    key : str
        The fingerprint of the job that wants to go on.

    Returns
    -------
    LoopState
        The state.

    Raises
    ------
    FileReadError
        It cannot be read, or is of another job.
    """
    remedy = "remove it, or begin anew without --resume"
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        known = isinstance(content, dict) and content.get("kind") == _KIND and content.get("version") == _VERSION
        is_ours = known and content["job"] == key
        state = _as_state(content) if is_ours else LoopState()
    except (OSError, ValueError, TypeError, KeyError) as error:
        msg = f"cannot read the checkpoint {path}: {error}; {remedy}"
        raise FileReadError(msg) from error
    if not known:
        msg = f"{path} is no checkpoint of a beam map, or of another version of pixtrace; {remedy}"
        raise FileReadError(msg)
    if not is_ours:
        msg = f"{path} is the checkpoint of other scans or options; give the same as before, or {remedy}"
        raise FileReadError(msg)
    return state


def _as_state(content: Any) -> LoopState:  # noqa: ANN401 - as it comes from JSON
    """Return the state that is in the content of a file."""
    return LoopState(
        fits=_as_fits(content["fits"]),
        before=_as_fits(content["before"]),
        shift=np.asarray(content["shift"], dtype=np.float64).reshape(-1, 2),
        misfit=[float(value) for value in content["misfit"]],
        misfit_before=[float(value) for value in content["misfit_before"]],
        shift_before=np.asarray(content["shift_before"], dtype=np.float64).reshape(-1, 2),
        records=[RoundRecord(**record) for record in content["records"]],
        is_settled=bool(content["is_settled"]),
    )


def _as_fits(parts: Any) -> list[PixelFits]:  # noqa: ANN401 - as it comes from JSON
    """Return fits of all parts."""
    return [PixelFits(**{name: _as_column(name, value) for name, value in part.items()}) for part in parts]


def _as_column(name: str, value: Any) -> Any:  # noqa: ANN401 - an array or a word
    """Return a column of fits."""
    return value if name == "method" else np.asarray(value, dtype=np.int64 if name in _WHOLE else np.float64)
