"""``pixtrace inspect``: what is in a file."""

from __future__ import annotations

import json
import logging
import math
from typing import TYPE_CHECKING, Any

from pixtrace.cli._exit import Exit
from pixtrace.cli._run import describe
from pixtrace.exceptions import PixtraceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixtrace.cli._terminal import Terminal
    from pixtrace.io import ExposureInfo

__all__ = ["inspect"]

_log = logging.getLogger(__name__)
_KINDS = {"fits": "plain FITS image of pixtrace", "jwst": "JWST exposure"}
_MOST_IMAGES = 12


def inspect(arguments: Sequence[str], terminal: Terminal, *, as_json: bool) -> Exit:
    """Print what each file holds.

    Parameters
    ----------
    arguments : sequence of str
        Files, folders, associations.
    terminal : Terminal
        Where to report what is wrong.
    as_json : bool
        One JSON object per file and line instead of words.

    Returns
    -------
    Exit
        OK, or FAILED if a file could not be read.
    """
    from pixtrace.io import inspect as inspect_file
    from pixtrace.io.collect import collect_inputs

    terminal.take_over_astropy()
    outcome = Exit.OK
    for argument in arguments:
        try:
            for path in collect_inputs([argument]):
                info = inspect_file(path)
                print(json.dumps(_as_dict(info)) if as_json else _in_words(info))
        except PixtraceError as error:
            _log.error("%s", describe(error))
            outcome = Exit.FAILED
    return outcome


def _in_words(info: ExposureInfo) -> str:
    """Return what a file holds, for a person."""
    facts: list[tuple[str, str]] = [("what", _KINDS.get(info.kind, info.kind))]
    facts += [(name, value) for name, value in info.details.items() if value]
    if info.n_integrations > 1:
        facts.append(("integrations", str(info.n_integrations)))
    if info.unit:
        facts.append(("unit", info.unit))
    for image in info.images[:_MOST_IMAGES]:
        shape = " x ".join(str(size) for size in image.shape)
        regions = "" if image.n_regions is None else f", {image.n_regions} regions"
        facts.append((f"image {image.name}".strip(), f"{shape}{regions}: {', '.join(image.planes)}"))
    if len(info.images) > _MOST_IMAGES:
        facts.append(("", f"... and {len(info.images) - _MOST_IMAGES} more images"))
    facts.append(("preset", info.preset or "none"))
    if info.oversampled is not None:
        known = math.isfinite(info.oversampled)
        facts.append(("oversampled", f"already, by a factor of {info.oversampled:g}" if known else "already"))
    ready = "can be oversampled as it is" if info.n_integrations == 1 else "its trace can be made (pixtrace trace)"
    facts.append(("problem", info.problem) if info.problem else ("ready", ready))
    width = max(len(name) for name, _ in facts)
    return "\n".join([str(info.path), *(f"  {name:<{width}}  {value}" for name, value in facts)])


def _as_dict(info: ExposureInfo) -> dict[str, Any]:
    """Return what a file holds, for a program; NaN, which JSON does not have, becomes true."""
    factor = info.oversampled
    return {
        "path": str(info.path),
        "kind": info.kind,
        "preset": info.preset,
        "images": [
            {
                "name": image.name,
                "shape": list(image.shape),
                "planes": list(image.planes),
                "n_regions": image.n_regions,
            }
            for image in info.images
        ],
        "n_integrations": info.n_integrations,
        "unit": info.unit,
        "oversampled": True if factor is not None and math.isnan(factor) else factor,
        "problem": info.problem,
        "details": dict(info.details),
    }
