"""Whole reductions of sofia_redux with our maps: the default ``beammap``, which crashes without them."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixtrace.adapters.sofia import PixelMap, enable
from tests.adapters.sofia_peer.untyped import Reduction, log, units
from tests.reference import reference_root


def reduce(instrument: str, path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: str) -> Any:
    """Return a reduction of a scan by beammap, done and written."""
    monkeypatch.chdir(folder)
    with enable():
        reduction = Reduction(instrument)
        log.setLevel("ERROR")
        reduction.add_user_configuration(
            options={"beammap": "True", "write.png": "False", "outpath": str(folder), **options}
        )
        reduction.read_scans([str(path)])
        reduction.validate()
    assert isinstance(reduction.source, PixelMap)
    reduction.reduce()  # what was set up goes on without the switch
    reduction.write_products()
    return reduction


#: Options of reductions of the raw scan, how many pixels must be measured, and how well [arcsec, median]. The scan has
#: no noise of the sky, and the decorrelation that comes by default takes the source for it: it flags most pixels.
HAWC: dict[str, tuple[dict[str, str], int, float]] = {
    "as it comes": ({}, 30, 3.0),
    "without decorrelation": (
        {"grid": "5.0", "rounds": "3", "blacklist": "vclip,correlated", "pixelmap.process": "False"},
        215,
        0.6,
    ),
}


@pytest.mark.parametrize("how", HAWC)
def test_a_raw_scan_of_hawc_plus(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = reference_root() / "pixelmap"
    path = tmp_path / "scan.fits"
    with gzip.open(reference / "scan.fits.gz") as packed, path.open("wb") as whole:
        shutil.copyfileobj(packed, whole)
    options, least, error = HAWC[how]
    options = {"shift": "0.0", "chopper.shift": "0", "pointing.method": "gaussian", **options}
    reduction = reduce("hawc_plus", path, tmp_path, monkeypatch, **options)
    (written,) = tmp_path.glob("*.rcp")
    assert "simsource" in written.name
    truth = np.load(reference / "scan_result.npz")
    places = {int(number): i for i, number in enumerate(truth["fixed_index"]) if truth["live"][i]}
    table = reduction.source.get_pixel_table()
    rows = [k for k, n in enumerate(table.fixed_index.tolist()) if n in places and np.isfinite(table.x[k])]
    assert len(rows) >= least
    live = [places[int(table.fixed_index[k])] for k in rows]
    off = np.array([table.x[rows] - truth["true_x"][live], table.y[rows] - truth["true_y"][live]])
    distance = np.hypot(*(off - np.median(off, axis=1, keepdims=True)))  # but for the pointing of the telescope
    assert np.median(distance) < error
    nominal = np.array([truth["nominal_x"] - truth["true_x"], truth["nominal_y"] - truth["true_y"]])[:, live]
    assert not np.allclose(off, nominal, atol=0.1)  # they were measured


def test_the_example_instrument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scan.fits"
    Reduction("example").info.write_simulated_hdul(str(path), fwhm=10 * units.arcsec)
    reduction = reduce("example", path, tmp_path, monkeypatch)
    assert reduction.source.count_points() > 0
    assert list(tmp_path.glob("*.rcp"))
