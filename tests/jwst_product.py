"""From a JWST file to its product, as the command does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixtrace.io.jwst import JwstExposure
from pixtrace.io.product import oversample_exposure

if TYPE_CHECKING:
    from pathlib import Path

    from pixtrace.trace.exposure import OversampledImage


def make_results(
    exposure: JwstExposure, factor: float, *, intermediate: bool = False, **changes: Any
) -> list[OversampledImage]:
    """Return the results of all images of an exposure."""
    params = exposure.params.replace(**changes)
    return oversample_exposure(exposure, factor, params, intermediate=intermediate)


def make_product(
    source: Path, target: Path, factor: float, *, intermediate: bool = False, **changes: Any
) -> list[Path]:
    """Write the product of a file and return the files written."""
    with JwstExposure.open(source) as exposure:
        results = make_results(exposure, factor, intermediate=intermediate, **changes)
        return exposure.save(results, target, intermediate=intermediate)
