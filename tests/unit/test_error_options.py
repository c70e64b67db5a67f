"""What the command says where errors cannot be had, or where nothing was fitted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixtrace.cli import main
from pixtrace.exceptions import DataError
from pixtrace.io import write_image
from pixtrace.simulate import star_in_ifu
from pixtrace.trace import SpectralImage, TraceParams, oversample_image


@pytest.fixture(scope="module")
def image() -> SpectralImage:
    return star_in_ifu(n_columns=60, n_slices=2, seed=3).image


@pytest.fixture
def star(image: SpectralImage, tmp_path: Path) -> Path:
    path = tmp_path / "star.fits"
    write_image(path, image, preset="miri-mrs")
    return path


def test_covariances_need_propagated_errors(star: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(star.parent / "out")
    assert main(["oversample", str(star), "-o", out, "--covariances", "2"]) == 1
    assert "n_covariances = 2 needs propagated errors; give --errors propagated" in capsys.readouterr().err
    assert main(["oversample", str(star), "-o", out, "--covariances", "2", "--preset", "generic"]) == 2
    assert main(["oversample", str(star), "-o", out, "--covariances", "0", "-q"]) == 0


def test_covariances_need_errors(image: SpectralImage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = SpectralImage(flux=image.flux, alpha=image.alpha, region_map=image.region_map)
    with pytest.raises(DataError, match="no error plane, and so no covariances"):
        oversample_image(bare, 2, TraceParams.robust().replace(n_covariances=1))
    path = tmp_path / "bare.fits"
    write_image(path, bare, preset="miri-mrs")
    assert main(["oversample", str(path), "-o", str(tmp_path), "--preset", "robust", "--covariances", "1"]) == 1
    assert "bare.fits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "options", "why"),
    [
        (np.nan, ["--preset", "robust"], "no good pixel has an error above zero"),
        (0.0, [], "no good pixel has an error above zero"),
        (1e9, ["--preset", "generic"], "below the threshold: highest signal to noise"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "oversample", "extract"])
def test_where_nothing_is_fitted_the_line_says_why(
    image: SpectralImage,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    value: float,
    options: list[str],
    why: str,
    command: str,
) -> None:
    path = tmp_path / "star.fits"
    spoiled = replace(image, error=np.full(image.flux.shape, value, dtype=np.float32))
    write_image(path, spoiled, preset="miri-mrs")
    assert main([command, str(path), "-o", str(tmp_path), *options]) == (1 if command == "extract" else 0)
    captured = capsys.readouterr()
    assert f"(region 101: {why}" in captured.out + captured.err
