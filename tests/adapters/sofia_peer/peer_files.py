"""What `PixelMap.write` writes, read by sofia_redux."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from tests.adapters.sofia_peer.untyped import Camera, Observation2D, example_info, units
from tests.strategies.scans import FWHM, make_maps, make_scan


def test_our_table_of_positions_is_read_to_the_bit(tmp_path: Path) -> None:
    scan = make_scan(4000, noise=0.02, gains=(1.0, 0.0, 0.8, 1.1))
    maps = make_maps(scan)
    table = maps.get_pixel_table()
    file = maps.write_pixel_data(tmp_path)[0]
    measured = np.isfinite(table.x)
    assert measured.tolist() == [True, False, True, True]
    info = Camera.get_rcp_info(str(file))
    assert [int(number) for number in info.index] == table.fixed_index[measured].tolist()
    for name in ("x", "y"):
        np.testing.assert_array_equal(np.asarray(info[name], dtype=float), getattr(table, name)[measured])
    instrument = example_info.ExampleInfo()
    instrument.read_configuration()
    channels = instrument.get_channels_instance()
    channels.load_channel_data()
    channels.read_rcp(str(file))
    places = channels.data.position.coordinates.to_value("arcsec")
    for row, number in enumerate(table.fixed_index.tolist()):
        if measured[row]:
            assert places[:, number].tolist() == [table.x[row], table.y[row]]
            assert channels.data.coupling[number] * channels.data.gain[number] == table.coupling[row]
        else:
            assert channels.data.flag[number] != 0  # no line: blind


def test_our_single_maps_are_read_with_their_grid_beams_and_unit(tmp_path: Path) -> None:
    scan = make_scan(4000, noise=0.02, options={"pixelmap.process": True, "smooth": "halfbeam"})
    maps = make_maps(scan)
    maps.configuration["pixelmap.writemaps"] = [12]
    file = maps.write(tmp_path)[0]
    expected = maps.pixel_maps[12].copy()
    expected.process_final()
    found: Any = Observation2D()
    with fits.open(file) as hdus:
        opened: Any = hdus
        found.read_hdu(opened[0])
    valid = expected.map.valid
    np.testing.assert_array_equal(found.data[valid], expected.map.data[valid])
    assert np.isnan(found.data[~valid]).all()
    assert tuple(found.grid.reference_index.coordinates) == expected.grid.reference_index
    np.testing.assert_allclose(found.grid.resolution.coordinates.to_value("arcsec"), expected.grid.resolution)
    np.testing.assert_allclose(found.smoothing_beam.x_fwhm.to_value("arcsec"), expected.map.smoothing_fwhm)
    np.testing.assert_allclose(found.underlying_beam.x_fwhm.to_value("arcsec"), FWHM)
    assert found.unit == 1.0 * units.ct
