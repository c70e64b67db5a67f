"""``--joint``: exposures on disk that are fitted together."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.cli import main
from pixtrace.io import matching, read_image, write_image
from pixtrace.simulate import star_in_ifu
from pixtrace.trace import SpectralImage, TraceParams, fit_dithers, oversample_image
from tests.untyped import fits

PITCH = 0.196


def exposure(number: int, *, n_columns: int = 100) -> SpectralImage:
    """One dither, a third of a row from the last."""
    dither = (number * PITCH / 3, 0.0)
    return star_in_ifu(n_columns=n_columns, n_slices=1, seed=number, tilt=2.0, dither=dither).image


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("dithers")
    paths = [folder / f"dither{number}.fits" for number in range(3)]
    for number, path in enumerate(paths):
        write_image(path, exposure(number))
    return [str(path) for path in paths]


def flux_in(path: Path) -> npt.NDArray[np.float64]:
    return np.asarray(fits.getdata(path, "SCI"), dtype=np.float64)


def test_oversample_joint(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["oversample", "--joint", *files, "-f", "2", "-o", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("; 3 exposures, offset " in line for line in lines)
    images = [read_image(file)[0] for file in files]
    fit = fit_dithers(images)
    assert f"offset {fit.offsets[0][2]:+.4g} (" in lines[2]
    for file, image, fitted in zip(files, images, fit.fitted, strict=True):
        (product,) = tmp_path.glob(f"{Path(file).stem}*.fits")
        expected = oversample_image(image, 2, TraceParams.robust(), fitted=fitted)
        np.testing.assert_array_equal(flux_in(product), expected.flux)


def test_what_is_said_of_a_dither_across_the_slices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / f"dither{number}.fits" for number in range(2)]
    for number, path in enumerate(paths):
        dither = (number * PITCH / 3, number * 0.177)  # a third of a row along, and a slice across
        write_image(path, star_in_ifu(n_columns=100, n_slices=5, seed=number, tilt=2.0, dither=dither).image)
    assert main(["trace", "--joint", *map(str, paths), "-o", str(tmp_path / "out"), "--report"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "across" not in first
    assert "moved across by +1 slices" in second
    page = next((tmp_path / "out").glob("dither1*_report.html")).read_text(encoding="utf-8")
    assert "joint fit: 2 exposures, offset" in page
    assert "moved across by +1 slices" in page


def test_models_of_a_joint_fit_are_kept_and_applied(files: list[str], tmp_path: Path) -> None:
    assert main(["fit", "--joint", *files, "-o", str(tmp_path / "models")]) == 0
    assert main(["oversample", "--joint", *files, "-o", str(tmp_path / "direct")]) == 0
    kept = str(tmp_path / "models" / "dither1_tracemodel.fits")
    assert main(["apply", kept, files[1], "-o", str(tmp_path / "applied")]) == 0
    (applied,), (direct,) = (sorted((tmp_path / name).glob("dither1*")) for name in ("applied", "direct"))
    np.testing.assert_array_equal(flux_in(applied), flux_in(direct))


def test_a_file_of_another_kind_is_fitted_alone(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.fits"
    write_image(other, exposure(0, n_columns=110))
    assert [len(members) for members in matching([Path(files[0]), other, Path(files[1])])] == [2, 1]
    (tmp_path / "broken.fits").write_text("no FITS")
    given = [files[0], str(other), str(tmp_path / "broken.fits"), files[1]]
    assert main(["trace", "--joint", *given, "-o", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert ["; 2 exposures" in line for line in out.splitlines()] == [True, False, True]
    assert "; 1 exposure," in out.splitlines()[1]
    assert "other.fits: no other file has its target and setting" in err
    assert "broken.fits" in err


def test_exposures_of_different_sources_all_fail(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.fits"
    image = exposure(0)
    random = np.random.default_rng(3)
    sky = np.where(image.region_map > 0, 20.0 + 4.0 * random.standard_normal(image.shape), np.nan)
    write_image(
        empty,
        SpectralImage(flux=sky, error=np.full(image.shape, 4.0), alpha=image.alpha, region_map=image.region_map),
    )
    assert main(["oversample", "--joint", files[0], str(empty), "-o", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert "2 of 2 files failed" in err
    assert "offsets of the exposures cannot be found" in err or "no two exposures show the same profile" in err
    assert not list((tmp_path / "out").iterdir())


def test_joint_goes_with_the_robust_method_alone(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["oversample", "--joint", *files, "--preset", "generic", "-o", str(tmp_path)]) == 2
    assert "--joint fits with weights, as the preset robust does" in capsys.readouterr().err


def test_joint_can_stand_in_a_configuration_file(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pixtrace.toml").write_text(f'joint = true\noutput = "{tmp_path / "out"}"\n')
    assert main(["trace", "--config", str(tmp_path / "pixtrace.toml"), *files[:2]]) == 0
    assert capsys.readouterr().out.count("; 2 exposures, offset ") == 2
