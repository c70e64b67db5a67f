"""A simulated scan of sofia_redux's example instrument: fixtures, as a plugin of pytest."""

from pathlib import Path
from typing import Any

import pytest

from tests.adapters.sofia_peer.untyped import Reduction, example_info, log, units


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a simulated scan over a source of FWHM 10 arcsec."""
    path = tmp_path_factory.mktemp("scan") / "scan.fits"
    Reduction("example").info.write_simulated_hdul(str(path), fwhm=10 * units.arcsec)
    log.setLevel("ERROR")
    return path


@pytest.fixture(scope="module")
def loaded(scan_file: Path) -> Any:
    """Return a reduction, and a function that reads the scan."""
    reduction = Reduction("example")
    log.setLevel("ERROR")
    for name in ("parallel.cores", "parallel.jobs"):
        reduction.configuration.parse_key_value(name, "1")
    # There are hardly more samples than cells: redundancy would discard them all.
    for name, value in (("indexing", "True"), ("indexing.check_memory", "False"), ("pixelmap.process", "False")):
        reduction.configuration.parse_key_value(name, value)
    reduction.update_parallel_config()

    def read() -> Any:
        info = example_info.ExampleInfo()
        info.read_configuration()
        log.setLevel("ERROR")
        return info.get_channels_instance().read_scan(str(scan_file))

    return reduction, read
