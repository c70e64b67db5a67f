"""Beam map of the raw reference scan against the truth that it was simulated from."""

from pathlib import Path

import numpy as np
import pytest

from pixtrace.io.scan import open_scan
from pixtrace.scan import Reduction
from tests.reference import IN_CI


def test_every_live_pixel_to_a_fiftieth_of_an_arcsec(reference_dir: Path) -> None:
    folder = reference_dir / "pixelmap"
    if not (folder / "scan.fits.gz").is_file():
        if IN_CI:
            pytest.fail(f"{folder}/scan.fits.gz is missing")
        pytest.skip(f"{folder}/scan.fits.gz is missing: it is not among the small copies that come with the project")
    found = Reduction(scans=[open_scan(folder / "scan.fits.gz").to_scan()]).reduce()
    with np.load(folder / "scan_result.npz") as truth:
        live = truth["live"].astype(bool)
        fixed_index = truth["fixed_index"][live]
        position = np.stack([truth["true_x"], truth["true_y"]])[:, live]
        true_coupling = truth["true_coupling"][live]
    table = found.table
    np.testing.assert_array_equal(np.sort(table.fixed_index[table.is_measured]), np.sort(fixed_index))
    at = np.searchsorted(table.fixed_index, fixed_index)
    away = np.stack([table.x, table.y])[:, at] - position
    away -= np.median(away, axis=1, keepdims=True)
    distance = np.hypot(*away)
    assert np.median(distance) < 0.02  # the reference: 0.44
    assert np.quantile(distance, 0.9) < 0.04
    ratio = table.coupling[at] / true_coupling
    assert np.std(ratio / np.median(ratio)) < 0.0025
    # Errors are those that the noise explains: the Cramer-Rao bound of the fit.
    assert 0.85 < np.std(away / np.stack([table.x_error, table.y_error])[:, at]) < 1.15
