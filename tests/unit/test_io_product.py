"""From file to product in one call."""

from pathlib import Path

import numpy as np

from pixtrace.io import oversample_file, read_image, write_image
from pixtrace.simulate import star_in_ifu
from pixtrace.trace import TraceParams, oversample_image


def test_one_call_does_what_the_steps_do(tmp_path: Path) -> None:
    scene = star_in_ifu(n_columns=120)
    source = tmp_path / "star.fits"
    write_image(source, scene.image, preset="generic")
    product = oversample_file(source, tmp_path, 2)
    assert product.parent == tmp_path
    image, params = read_image(source)
    expected = oversample_image(image, 2, params)
    other = oversample_file(source, tmp_path / "other.fits", 2, TraceParams.preset("generic"), n_threads=1)
    assert other == tmp_path / "other.fits"
    from astropy.io import fits

    for path in (product, other):
        np.testing.assert_array_equal(fits.getdata(path, "SCI"), expected.flux)


def test_images_and_results_say_what_they_are() -> None:
    scene = star_in_ifu(n_columns=60)
    assert repr(scene.image).startswith("<SpectralImage")
    assert len(repr(scene.image)) < 200
    result = oversample_image(scene.image, 2, TraceParams.preset("generic"))
    assert "x 2," in repr(result)
    assert len(repr(result)) < 200
