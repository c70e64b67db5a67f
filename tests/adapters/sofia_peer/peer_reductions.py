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


def test_a_raw_scan_of_hawc_plus_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = reference_root() / "pixelmap"
    path = tmp_path / "scan.fits"
    with gzip.open(reference / "scan.fits.gz") as packed, path.open("wb") as whole:
        shutil.copyfileobj(packed, whole)
    options = {"shift": "0.0", "chopper.shift": "0", "pointing.reduce_degrees": "True"}
    reduction = reduce("hawc_plus", path, tmp_path, monkeypatch, **options)
    truth = np.load(reference / "scan_result.npz")
    places = {int(number): i for i, number in enumerate(truth["fixed_index"]) if truth["live"][i]}
    channels = reduction.scans[0].channels.data
    found = channels.position.coordinates.to_value("arcsec")
    pairs = [
        (i, places[int(number)])
        for i, number in enumerate(channels.fixed_index)
        if int(number) in places and int(number) in reduction.source.pixel_maps and channels.flag[i] == 0
    ]
    assert len(pairs) > 100
    ours, theirs = (np.array(side) for side in zip(*pairs, strict=True))
    error = found[:, ours] - np.array([truth["true_x"], truth["true_y"]])[:, theirs]
    distance = np.hypot(*(error - np.median(error, axis=1, keepdims=True)))
    assert np.median(distance) < 2.5  # the pipeline filters the time stream, and smooths the maps


def test_the_example_instrument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scan.fits"
    Reduction("example").info.write_simulated_hdul(str(path), fwhm=10 * units.arcsec)
    reduction = reduce("example", path, tmp_path, monkeypatch)
    assert reduction.source.count_points() > 0
    assert list(tmp_path.glob("*.rcp"))
