"""Files with time series: read and written some integrations at a time, complete or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pixtrace.cli import main
from pixtrace.exceptions import DataError, FileReadError, InternalError, OutputExistsError, ShapeError
from pixtrace.io import inspect
from pixtrace.io.jwst.container import read_container
from pixtrace.io.series import light_curves, open_series, oversample_series
from pixtrace.io.series.cube import FileCube
from pixtrace.io.series.writer import CubeFile, CubePiece
from pixtrace.trace import SpectralSeries, TraceParams, fit_time_series, oversample_cube
from pixtrace.trace.image import DO_NOT_USE
from tests.unit.test_time_series import truth
from tests.untyped import datamodels, fits, table

N = 5


def planes(seed: int = 1) -> dict[str, npt.NDArray[Any]]:
    scene = truth(N)
    series = scene.observe(seed, dtype=np.float32)
    dq = (np.random.default_rng(3).random(scene.flux.shape) < 0.02).astype(np.uint32) * DO_NOT_USE
    return {
        "SCI": np.asarray(series.flux),
        "ERR": np.asarray(series.error),
        "DQ": dq,
        "VAR_POISSON": (0.05 * scene.flux).astype(np.float32),
        "ALPHA": series.alpha,
        "REGIONS": series.region_map,
        "WAVELENGTH": np.broadcast_to(np.linspace(1, 2, scene.alpha.shape[1]), scene.alpha.shape).copy(),
    }


def write(path: Path, axis: int = 1, **changes: npt.NDArray[Any] | None) -> dict[str, npt.NDArray[Any]]:
    found = {name: plane for name, plane in (planes() | changes).items() if plane is not None}
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header["DISPAXIS"], hdus[0].header["OBSERVER"] = 1 if axis == 1 else 2, "me"
    for name, plane in found.items():
        turned = np.swapaxes(plane, -1, -2) if axis == 0 else plane
        hdus.append(fits.ImageHDU(np.ascontiguousarray(turned), name=name))
    hdus["SCI"].header["BUNIT"] = "MJy/sr"
    hdus.writeto(path)
    return found


def expected(given: dict[str, npt.NDArray[Any]]) -> SpectralSeries:
    return SpectralSeries(
        flux=given["SCI"],
        error=given["ERR"],
        dq=given["DQ"],
        variances={"var_poisson": given["VAR_POISSON"]},
        alpha=given["ALPHA"],
        region_map=given["REGIONS"],
    )


@pytest.mark.parametrize("axis", [1, 0])
def test_a_file_gives_what_its_arrays_give(tmp_path: Path, axis: int) -> None:
    given = write(tmp_path / "a.fits", axis)
    file = open_series(tmp_path / "a.fits")
    params = TraceParams.robust()
    found = oversample_series(file, tmp_path, 2, params, shift=True, chunk=2, intermediate=True)
    assert [path.name for path in found.files] == [
        "a_oversampled.fits",
        "a_oversampled_lightcurve.ecsv",
        "a_oversampled_scales.fits",
    ]
    series = expected(given)
    model = fit_time_series(series, params, shift=True)
    (chunk,) = oversample_cube(series, model, 2, intermediate=True)

    def turned(name: str) -> npt.NDArray[Any]:
        data = fits.getdata(tmp_path / "a_oversampled.fits", name)
        return np.asarray(np.swapaxes(data, -1, -2) if axis == 0 else data)

    planes_of = {"SCI": chunk.flux, "ERR": chunk.error, "DQ": chunk.dq, "TRACE": chunk.trace_used}
    planes_of |= {"TRACE_FULL": chunk.full_trace, "LINEAR": chunk.linear_flux, "RESIDUAL": chunk.residual_flux}
    planes_of |= {"VAR_POISSON": chunk.variances["var_poisson"]}
    for name, plane in planes_of.items():
        np.testing.assert_array_equal(turned(name), plane, err_msg=name)
    for name in ("ALPHA", "REGIONS", "WAVELENGTH"):
        assert turned(name).shape == chunk.flux.shape[1:]
    with fits.open(tmp_path / "a_oversampled.fits") as hdus:
        hdus.verify("exception")
        assert hdus[0].header["PIXFACT"] == 2
        assert hdus[0].header["OBSERVER"] == "me"
        assert hdus["SCI"].header["BUNIT"] == "MJy/sr"
        assert hdus["SCI"].header["DISPAXIS"] == (1 if axis == 1 else 2)
    assert "already, by 2" in inspect(tmp_path / "a_oversampled.fits").problem
    region = model.regions[1]
    for name, plane in {"SCALE": region.scales, "SCALE_ERR": region.errors, "CHI2": region.chi2}.items():
        np.testing.assert_array_equal(fits.getdata(tmp_path / "a_oversampled_scales.fits", name), plane)
    curve = table.Table.read(tmp_path / "a_oversampled_lightcurve.ecsv")
    brightness, error = region.white_light()
    np.testing.assert_allclose(curve["brightness"], brightness, rtol=1e-14)
    np.testing.assert_allclose(curve["brightness_error"], error, rtol=1e-14)
    np.testing.assert_allclose(curve["shift"], region.shifts, rtol=1e-14)
    assert list(curve["integration"]) == list(range(1, N + 1))
    assert np.all(np.abs(np.asarray(curve["chi2"]) - 1) < 0.2)


def test_light_curves_of_nothing() -> None:
    assert len(light_curves([])) == 0


def test_a_plane_stands_for_all_integrations(tmp_path: Path) -> None:
    given = planes()
    write(tmp_path / "a.fits", ERR=given["ERR"][0], DQ=None, VAR_POISSON=None, WAVELENGTH=None)
    series = open_series(tmp_path / "a.fits").series[0]
    np.testing.assert_array_equal(series.read(1, 3).error, given["ERR"][[0, 0]])
    assert series.dq is None


def test_packed(tmp_path: Path) -> None:
    given = write(tmp_path / "a.fits.gz")
    series = open_series(tmp_path / "a.fits.gz").series[0]
    np.testing.assert_array_equal(np.asarray(series.flux[2:4]), given["SCI"][2:4])
    assert open_series(tmp_path / "a.fits.gz").output_name(2) == "a_oversampled.fits"


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"SCI": planes()["SCI"][0]}, DataError, "SCI has 2 axes; expected a time series"),
        ({"ALPHA": None}, FileReadError, "has no extension ALPHA"),
        (
            {"ERR": np.zeros((N, 3, 3), np.float32)},
            ShapeError,
            r"a\.fits, SCI and what belongs to it: `error` has shape",
        ),
        ({"REGIONS": np.zeros((22, 130), np.int32)}, DataError, "there is no region"),
    ],
)
def test_files_that_are_none(tmp_path: Path, changes: dict[str, Any], kind: type[Exception], text: str) -> None:
    write(tmp_path / "a.fits", **changes)
    with pytest.raises(kind, match=text):
        open_series(tmp_path / "a.fits")


def test_nothing_is_half_written(tmp_path: Path) -> None:
    write(tmp_path / "a.fits")
    file = open_series(tmp_path / "a.fits")
    (tmp_path / "a_oversampled_scales.fits").touch()
    with pytest.raises(OutputExistsError):
        oversample_series(file, tmp_path, 2)
    (tmp_path / "a_oversampled_scales.fits").unlink()
    calls: list[int] = []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        if total == N * 1000:  # oversampling has begun
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        oversample_series(file, tmp_path, 2, chunk=2, progress=stop)
    assert calls
    assert [path.name for path in tmp_path.iterdir()] == ["a.fits"]


def test_a_cube_file_is_complete(tmp_path: Path) -> None:
    pieces = [CubePiece("SCI", 1, (3, 2, 2), np.float32)]
    with (
        pytest.raises(InternalError, match=r"integrations are missing at the end: \{'SCI': 2\}"),
        CubeFile(tmp_path / "a", pieces) as file,
    ):
        file.put("SCI", 1, 0, np.zeros((1, 2, 2)))
    with pytest.raises(InternalError, match="do not fit"), CubeFile(tmp_path / "a", pieces) as file:
        file.put("SCI", 1, 2, np.zeros((2, 2, 2)))


def test_cubes_of_files_forget_what_was_read(tmp_path: Path) -> None:
    given = write(tmp_path / "a.fits")
    unit = read_container(tmp_path / "a.fits").require("DQ", why="")
    cube = FileCube(unit, lambda array: array, N)
    assert cube.shape == given["DQ"].shape
    assert cube.dtype == np.uint32
    for _ in range(2):
        np.testing.assert_array_equal(cube[1:4], given["DQ"][1:4])
    np.testing.assert_array_equal(cube[:], given["DQ"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests import jwst_models

    path = tmp_path_factory.mktemp("series")
    for name in ("slit_series", "lrs_series"):
        maker, arguments, _ = jwst_models.CASES[name]
        getattr(jwst_models, maker)(**arguments).save(path / f"{name}_calints.fits")
    return path


@pytest.mark.parametrize(("name", "n"), [("slit_series", 3), ("lrs_series", 2)])
def test_jwst(folder: Path, tmp_path: Path, name: str, n: int) -> None:
    file = open_series(folder / f"{name}_calints.fits")
    assert file.params != TraceParams.robust()
    found = oversample_series(file, tmp_path, 2, TraceParams.robust(), chunk=1)
    product = tmp_path / f"{name}_adaptive_trace_model.fits"
    assert found.files[0] == product
    series = file.series[0]
    (chunk,) = oversample_cube(series, found.models[0], 2, alpha_os=file.alpha_os(0, 2))
    with datamodels.open(product) as model:
        model.validate()
        turned = np.rot90(model.data, axes=(1, 2)) if series.flipped else model.data
        np.testing.assert_array_equal(turned, chunk.flux)
        assert model.data.shape == model.err.shape == model.dq.shape
        assert model.trace_model.shape == model.data.shape[1:]
        assert model.meta.cal_step.adaptive_trace_model == "COMPLETE"
        assert model.meta.wcs.available_frames[0] == "coordinates"
    scales = found.models[0].regions[1].scales
    step = 1.125 if n > 1 else 1.0
    assert np.nanmedian(scales[1] / scales[0]) == pytest.approx(step, rel=1e-3)


def test_jwst_images_are_no_series(tmp_path: Path) -> None:
    from tests import jwst_models

    jwst_models.nirspec_slit("NRS_FIXEDSLIT").save(tmp_path / "a_cal.fits")
    with pytest.raises(DataError, match="expected a time series"):
        open_series(tmp_path / "a_cal.fits")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.fits")
    out = ["-o", str(tmp_path / "out")]
    name = str(tmp_path / "a.fits")
    assert main(["oversample", name, *out]) == 1
    assert "--integrations" in capsys.readouterr().err
    assert main(["oversample", name, *out, "--preset", "robust", "--shift"]) == 0
    assert "5 integrations, 1 regions" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a_oversampled.fits",
        "a_oversampled_lightcurve.ecsv",
        "a_oversampled_scales.fits",
    ]
    assert main(["oversample", name, *out, "--integrations"]) == 1  # there already
    assert main(["oversample", name, *out, "--integrations", "--overwrite", "--save-intermediate-results"]) == 0
    assert main(["oversample", name, *out, "--preset", "robust", "--no-integrations"]) == 1
    assert main(["oversample", name, *out, "--integrations", "-f", "1"]) == 1
    assert main(["oversample", name, *out, "--integrations", "--plot"]) == 1
    assert main(["oversample", name, *out, "--preset", "robust", "--overwrite", "--covariances", "1"]) == 1
    assert "--covariances does not go with" in capsys.readouterr().err
    assert main(["oversample", name, *out, "--preset", "robust", "--overwrite", "--report"]) == 0
    assert "a.fits, mean of 5 integrations" in (tmp_path / "out" / "a_oversampled_report.html").read_text()
    assert main(["trace", name, *out, "--preset", "robust"]) == 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"ERR": np.zeros((N, 22, 130), np.float32)}, "5 of 5 integrations have no scale in any column"),
        ({"SCI": np.full((N, 22, 130), np.nan, np.float32)}, "5 of 5 integrations have no scale in any column"),
        ({"ERR": planes()["ERR"] * (np.arange(N) != 2)[:, np.newaxis, np.newaxis]}, "1 of 5 integrations"),
        ({}, ""),
    ],
)
def test_command_says_where_nothing_could_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], text: str
) -> None:
    write(tmp_path / "a.fits", **changes)
    assert main(["oversample", str(tmp_path / "a.fits"), "-o", str(tmp_path), "--preset", "robust"]) == 0
    said = capsys.readouterr().err
    assert (text in said) if text else not said
    data, dq = (fits.getdata(tmp_path / "a_oversampled.fits", name) for name in ("SCI", "DQ"))
    np.testing.assert_array_equal(np.isnan(data), dq & DO_NOT_USE > 0)


def test_command_on_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = planes()
    changes = {key: given[key][0] for key in ("SCI", "ERR", "DQ", "VAR_POISSON")}
    write(tmp_path / "a.fits", **changes)
    assert main(["oversample", str(tmp_path / "a.fits"), "-o", str(tmp_path), "--integrations"]) == 1
    assert "is no time series" in capsys.readouterr().err
    assert main(["oversample", str(tmp_path / "a.fits"), "-o", str(tmp_path), "--preset", "robust"]) == 0
