"""Trace models in files: exact to the bit, described by a schema, refused when damaged; `pixtrace fit` and `apply`."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixtrace.cli import main
from pixtrace.exceptions import DataError, FileReadError, OutputExistsError, ParameterError
from pixtrace.io import (
    StoredModel,
    apply_models,
    fit_exposure,
    load_models,
    open_exposure,
    save_models,
    write_image,
)
from pixtrace.io.models.stored import flat_record
from pixtrace.simulate import Scene, star_in_ifu
from pixtrace.trace import SpectralImage, TraceModel, TraceParams, fit_image, oversample_image
from tests.untyped import asdf, fits

SUFFIXES = (".asdf", ".fits", ".fits.gz")
FIT_ALL = TraceParams.preset("miri-mrs").replace(fit_threshold=0.0)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return star_in_ifu(n_columns=160, n_slices=3, seed=2)


@pytest.fixture(scope="module")
def model(scene: Scene) -> TraceModel:
    return fit_image(scene.image, FIT_ALL).model


@pytest.fixture(scope="module")
def recorded(scene: Scene) -> TraceModel:
    return fit_image(scene.image, TraceParams.robust()).model


@pytest.fixture(scope="module")
def source(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "star.fits"
    write_image(path, scene.image, preset=scene.preset)
    return path


def bits(model: TraceModel) -> dict[int, list[tuple[str, tuple[int, ...], bytes]]]:
    """Return all that a model consists of."""
    return {
        label: [(array.dtype.str, array.shape, array.tobytes()) for array in table]
        for label, table in model.tables().items()
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_saved_model_comes_back_bit_for_bit(model: TraceModel, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    model.save(path)
    again = TraceModel.load(path)
    assert bits(again) == bits(model)
    assert again == model
    with pytest.raises(OutputExistsError):
        model.save(path)
    again.save(path, overwrite=True)
    assert bits(TraceModel.load(path)) == bits(model)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("method", ["reference", "robust"])
def test_records_come_back_too(scene: Scene, tmp_path: Path, suffix: str, method: str) -> None:
    base = TraceParams.robust() if method == "robust" else FIT_ALL.replace(errors="propagated")
    image = scene.image
    half = np.asarray(image.error) ** 2 / 2
    with_variances = SpectralImage(
        flux=image.flux,
        error=image.error,
        alpha=image.alpha,
        region_map=image.region_map,
        variances={"var_poisson": half, "var_rnoise": half},
    )
    fitted = fit_image(with_variances, base)
    fitted.model.save(tmp_path / f"model{suffix}")
    again = TraceModel.load(tmp_path / f"model{suffix}")
    for found in (again, pickle.loads(pickle.dumps(fitted.model))):  # noqa: S301 - our own
        assert bits(found) == bits(fitted.model)
        assert flat(found) == flat(fitted.model)
    expected = oversample_image(with_variances, 2, base, fitted=fitted)
    result = oversample_image(with_variances, 2, base, fitted=replace(fitted, model=again))
    assert result.error is not None
    np.testing.assert_array_equal(result.error, expected.error)
    np.testing.assert_array_equal(result.variances["var_rnoise"], expected.variances["var_rnoise"])


def flat(model: TraceModel) -> list[bytes]:
    """Return all numbers of the records."""
    records = [flat_record(record) for record in model.records().values()]
    assert records
    return [name.encode() + array.tobytes() for record in records for name, array in record.items()]


DOUBLES = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True, width=64)


@given(st.lists(DOUBLES, min_size=4, max_size=4), st.lists(DOUBLES, min_size=1, max_size=5), st.sampled_from(SUFFIXES))
def test_any_double_survives(
    tmp_path_factory: pytest.TempPathFactory, coefficients: list[float], scales: list[float], suffix: str
) -> None:
    n = len(scales)
    table = (
        np.arange(n)[::-1].copy(),
        np.zeros(n, dtype=np.int64),
        np.array(scales),
        np.array([[-0.0, 5e-324]] * n),
        np.array([8]),
        np.array([-0.0, 0, 0, 0, 1, 1, 1, 1]),
        np.array(coefficients),
    )
    empty = (*(np.empty(0, dtype=np.int64),) * 2, np.empty(0), np.empty((0, 2)), np.empty(0, dtype=np.int64))
    model = TraceModel.from_tables({7: table, 9: (*empty, np.empty(0), np.empty(0))})
    path = tmp_path_factory.mktemp("model") / f"model{suffix}"
    model.save(path)
    assert bits(TraceModel.load(path)) == bits(model)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_holds_the_models_of_all_images_and_their_origin(model: TraceModel, tmp_path: Path, suffix: str) -> None:
    params = TraceParams.preset("nirspec-slit-prism").replace(slope_limit=0.1 + 0.2, sigma_low=1e-7)
    stored = [
        StoredModel(model=model, name="S200Ä1", offset=-1 / 3, params=params, source="a.fits", fingerprint="1f"),
        StoredModel(model=TraceModel.from_tables({}), name="S200A2"),
    ]
    path = save_models(tmp_path / f"models{suffix}", stored)
    first, second = load_models(path)
    assert bits(first.model) == bits(model)
    assert replace(first, model=model) != stored[0]  # models are compared by what is in them, not these
    assert (first.name, first.offset, first.params, first.source, first.fingerprint) == (
        "S200Ä1",
        -1 / 3,
        params,
        "a.fits",
        "1f",
    )
    assert (second.name, second.offset, second.params, len(second.model)) == ("S200A2", 0.0, None, 0)
    with pytest.raises(DataError, match="holds 2 models"):
        TraceModel.load(path)


def test_asdf_alone_reads_a_model_and_writes_one_anywhere_in_a_tree(model: TraceModel, tmp_path: Path) -> None:
    # In a process of its own, that knows of pixtrace by nothing but the entry points.
    model.save(tmp_path / "model.asdf")
    code = (
        "import asdf, sys; f = asdf.open(sys.argv[1]); m = f['pixtrace']['images'][0]['model'];"
        "assert type(m).__name__ == 'TraceModel', type(m);"
        "asdf.AsdfFile({'mine': [m, 3]}).write_to(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.asdf"), str(tmp_path / "tree.asdf")], check=True)
    with asdf.open(tmp_path / "tree.asdf", lazy_load=False, memmap=False) as file:
        assert bits(file["mine"][0]) == bits(model)


def test_the_schema_refuses_what_is_no_model(model: TraceModel, tmp_path: Path) -> None:
    path = tmp_path / "model.asdf"
    model.save(path)
    path.write_bytes(path.read_bytes().replace(b"region: 102", b"region: abc"))
    with pytest.raises(FileReadError, match=r"model\.asdf cannot be read \(ValidationError"):
        TraceModel.load(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_half_a_file_is_refused(model: TraceModel, tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f"model{suffix}"
    model.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(FileReadError, match=f"model{suffix}"):
        TraceModel.load(path)


@pytest.mark.parametrize("suffix", [".asdf", ".fits"])
def test_a_flipped_bit_is_seen(recorded: TraceModel, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    recorded.save(path)
    content = bytearray(path.read_bytes())
    knot = recorded.tables()[102][5].view("u8")[-5:]
    number = knot.astype("<u8" if suffix == ".asdf" else ">u8").tobytes()
    content[content.index(number) + 3] ^= 4
    path.write_bytes(bytes(content))
    with pytest.raises(FileReadError, match=f"model{suffix}.*complete copy"):
        TraceModel.load(path)


def damage(path: Path, change: Any) -> None:
    """Change the HDUs of a file, and leave no sum that tells."""
    with fits.open(path) as file:
        hdus = fits.HDUList([hdu.copy() for hdu in file])
    for hdu in hdus:
        hdu.header.remove("DATASUM", ignore_missing=True)
    change(hdus)
    hdus.writeto(path, overwrite=True)


def drop_knots(hdus: Any) -> None:
    hdus["KNOTS"].data = hdus["KNOTS"].data[:-1]


def longer_records(hdus: Any) -> None:
    hdus["RECORDS"].data["LENGTH"] += 1


def other_records(hdus: Any) -> None:
    fields = hdus["RECORDS"].data["FIELD"]
    fields[fields == "origin"] = "other"


def drop_table(hdus: Any) -> None:
    del hdus["SPLINES"]


def other_table(hdus: Any) -> None:
    hdus["COEFFS"].columns["COEFF"].name = "OTHER"


def newer(hdus: Any) -> None:
    hdus[0].header["PIXMODEL"] = "2.0.0"


def nonsense(hdus: Any) -> None:
    hdus[0].header["PIXMODEL"] = "x"


def falling_knots(hdus: Any) -> None:
    hdus["KNOTS"].data["KNOT"][5] = -1e9


def about(hdus: Any, text: str) -> None:
    columns = [fits.Column("IMAGE", "J", array=[0]), fits.Column("OFFSET", "D", array=[0.0])]
    columns.append(fits.Column("ABOUT", "99A", array=[text]))
    hdus["IMAGES"] = fits.BinTableHDU.from_columns(columns, name="IMAGES")


def bad_params(hdus: Any) -> None:
    about(hdus, '{"name": "", "source": "", "fingerprint": "", "params": {"lrange": -1}}')


def no_params(hdus: Any) -> None:
    about(hdus, '{"name": "", "source": ""}')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_knots, "KNOTS of .* rows; expected"),
        (drop_table, "no extension SPLINES"),
        (other_table, "no column COEFF"),
        (longer_records, "fewer numbers than RECORDS says"),
        (other_records, "record of the fit is damaged"),
        (newer, r"format 2\.0\.0.*install a newer one"),
        (nonsense, "format version 'x'"),
        (falling_knots, "damaged trace model"),
        (no_params, "what is said about the model cannot be read .'params'."),
        (bad_params, "parameters cannot be read: lrange = -1"),
    ],
)
def test_damaged_tables_say_what_is_wrong(recorded: TraceModel, tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "model.fits"
    recorded.save(path)
    damage(path, change)
    with pytest.raises(FileReadError, match=message) as caught:
        TraceModel.load(path)
    assert str(path) in str(caught.value)


def test_other_files_are_refused(model: TraceModel, source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match="does not exist"):
        load_models(tmp_path / "none.fits")
    with pytest.raises(FileReadError, match="no keyword PIXMODEL"):
        load_models(source)
    (tmp_path / "text.asdf").write_text("abc")
    with pytest.raises(FileReadError, match="neither an ASDF nor a FITS file"):
        load_models(tmp_path / "text.asdf")
    asdf.AsdfFile({"a": 1}).write_to(tmp_path / "other.asdf")
    with pytest.raises(FileReadError, match="holds no trace model"):
        load_models(tmp_path / "other.asdf")
    with pytest.raises(ParameterError, match=r"expected a name that ends in \.asdf"):
        model.save(tmp_path / "model.h5")
    with pytest.raises(ParameterError, match="no model to write"):
        save_models(tmp_path / "model.fits", [])
    assert list(tmp_path.glob("*.h5")) == []


class TestApply:
    def test_on_the_exposure_that_was_fitted_the_result_is_the_same(self, source: Path, tmp_path: Path) -> None:
        with open_exposure(source) as exposure:
            image = exposure.images[0]
            stored = load_models(save_models(tmp_path / "model.asdf", fit_exposure(exposure, FIT_ALL)))
            fitted = apply_models(exposure, stored)
        expected = oversample_image(image, 2, FIT_ALL)
        found = oversample_image(image, 2, FIT_ALL, fitted=fitted[0])
        np.testing.assert_array_equal(found.flux, expected.flux)
        np.testing.assert_array_equal(found.trace_used, expected.trace_used)

    def test_another_exposure_gets_other_scales(self, scene: Scene, model: TraceModel, tmp_path: Path) -> None:
        brighter = write(tmp_path / "brighter.fits", scene, scene.image.flux * np.float32(4))
        with open_exposure(brighter) as exposure:
            stored = StoredModel(model=model, params=FIT_ALL, fingerprint="that of another image")
            (fitted,) = apply_models(exposure, [stored])
            (kept,) = apply_models(exposure, [stored], rescale=False)
        assert set(fitted.model) == set(model)
        for label, region in model.items():
            for column, trace in region.items():
                assert fitted.model[label][column].model == trace.model
                assert kept.model[label][column].scale == trace.scale
                if trace.scale > 1:
                    # Not exactly four: the fit leaves out of the scale what it trims at the edges.
                    assert fitted.model[label][column].scale == pytest.approx(4 * trace.scale, rel=0.02)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_what_is_known_of_the_profile_stays(
        self, scene: Scene, recorded: TraceModel, tmp_path: Path, suffix: str
    ) -> None:
        flux = scene.image.flux.copy()
        flux[:, 40:50] = np.nan
        scaled = recorded.rescaled(2 * flux, scene.image.alpha, scene.image.region_map)
        scaled.save(tmp_path / f"model{suffix}")
        for found in (scaled, TraceModel.load(tmp_path / f"model{suffix}")):
            before, after = recorded.record(102), found.record(102)
            assert found.has_record
            assert before is not None
            assert after is not None
            np.testing.assert_array_equal(after.columns, list(found[102]))
            assert set(after.absent) == set(range(40, 50))
            np.testing.assert_array_equal(after.covariance(90), before.covariance(90))
            assert np.all(np.isnan(after.chi2))
            assert not after.is_adequate.any()

    def test_columns_without_flux_are_left_out(self, scene: Scene, model: TraceModel) -> None:
        flux = scene.image.flux.copy()
        flux[:, 40:50] = np.nan
        scaled = model.rescaled(flux, scene.image.alpha, scene.image.region_map)
        for label in model:
            assert set(model[label]) - set(scaled[label]) == set(range(40, 50)) & set(model[label])
        assert len(model.rescaled(flux, scene.image.alpha, np.ones_like(scene.image.region_map))) == 0

    def test_models_of_something_else_are_refused(self, source: Path, model: TraceModel) -> None:
        table = model.tables()[102]
        with open_exposure(source) as exposure:
            with pytest.raises(DataError, match="none in common"):
                apply_models(exposure, [StoredModel(model=TraceModel.from_tables({5: table}))])
            with pytest.raises(DataError, match="the same slits"):
                apply_models(exposure, [StoredModel(model=model, name="A"), StoredModel(model=model, name="B")])


def write(path: Path, scene: Scene, flux: npt.NDArray[Any]) -> Path:
    """Write an exposure of another flux."""
    image = scene.image
    write_image(
        path,
        SpectralImage(flux=flux, error=image.error, alpha=image.alpha, region_map=image.region_map),
        preset=scene.preset,
    )
    return path


class TestCommands:
    @pytest.mark.parametrize("kind", ["fits", "asdf"])
    def test_fit_then_apply_is_oversample(
        self, source: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        options = ["-o", str(tmp_path), "--fit-threshold", "0"]
        assert main(["fit", str(source), *options, "--format", kind]) == 0
        kept = tmp_path / f"star_tracemodel.{kind}"
        assert "3 of 3 regions fitted; " in capsys.readouterr().out
        (stored,) = load_models(kept)
        assert stored.params == FIT_ALL
        assert stored.source == "star.fits"
        assert main(["apply", str(kept), str(source), "-o", str(tmp_path / "applied"), "-f", "3"]) == 0
        assert main(["oversample", str(source), *options, "-f", "3"]) == 0
        with (
            fits.open(tmp_path / "applied" / "star_oversampled.fits") as found,
            fits.open(tmp_path / "star_oversampled.fits") as expected,
        ):
            for name in ("SCI", "ERR", "DQ", "TRACE"):
                np.testing.assert_array_equal(found[name].data, expected[name].data)

    @pytest.mark.parametrize("errors", ["propagated", "jwst"])
    def test_a_robust_model_for_another_exposure(
        self, source: Path, tmp_path: Path, errors: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # The same star with other noise. The errors hold those of the profile, which has noise of its own.
        other = star_in_ifu(n_columns=160, n_slices=3, seed=12)
        path = write(tmp_path / "other.fits", other, other.image.flux)
        assert main(["fit", str(source), "-o", str(tmp_path), "--preset", "robust", "-q"]) == 0
        command = ["apply", str(tmp_path / "star_tracemodel.fits"), str(path), "-o", str(tmp_path), "--errors", errors]
        if errors == "propagated":
            command += ["--covariances", "1"]
        assert main(command) == 0
        assert "leave out" not in capsys.readouterr().out
        with fits.open(tmp_path / "other_oversampled.fits") as product:
            found = {hdu.name: hdu.data for hdu in product}
        off = found["SCI"] - other.truth_os(2)
        pulls = (off / found["ERR"])[np.isfinite(off)]
        if errors == "propagated":
            # What a profile that changes along the spectrum does to a window, only the other exposure's pixels know.
            assert 0.9 < np.median(np.abs(pulls)) / 0.6745 < 1.25
            assert np.nanmedian(found["COVAR_1"] / found["ERR"] ** 2) > 0.2

    def test_a_model_of_something_else_is_told(
        self, source: Path, scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # The same labels and columns, but the star stands elsewhere in the slices.
        moved = write(tmp_path / "moved.fits", scene, np.roll(scene.image.flux, 4, axis=0))
        assert main(["fit", str(source), "-o", str(tmp_path), "-q"]) == 0
        kept = str(tmp_path / "star_tracemodel.fits")
        for command in (["apply", kept, str(moved)], ["replace", "--model", kept, str(moved)]):
            assert main([*command, "-o", str(tmp_path)]) == 0
            assert "moved.fits: the model does not describe it, residuals are" in capsys.readouterr().err
        assert main(["apply", kept, str(source), "-o", str(tmp_path)]) == 0
        assert capsys.readouterr().err == ""

    def test_a_model_without_a_record_for_another_exposure(
        self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # Its profile counts as known, and the line says so.
        other = star_in_ifu(n_columns=160, n_slices=3, seed=12)
        path = write(tmp_path / "other.fits", other, other.image.flux)
        assert main(["fit", str(source), "-o", str(tmp_path), "-q"]) == 0
        command = ["apply", str(tmp_path / "star_tracemodel.fits"), str(path), "-o", str(tmp_path)]
        assert main([*command, "--errors", "propagated"]) == 0
        assert "(errors leave out those of the profile" in capsys.readouterr().out
        with fits.open(tmp_path / "other_oversampled.fits") as product:
            assert np.array_equal(np.isfinite(product["ERR"].data), np.isfinite(product["SCI"].data))
            assert np.nanmin(product["ERR"].data) > 0

    def test_nothing_is_overwritten(self, source: Path, tmp_path: Path) -> None:
        assert main(["fit", str(source), "-o", str(tmp_path), "-q"]) == 0
        assert main(["fit", str(source), "-o", str(tmp_path), "-q"]) == 1
        assert main(["fit", str(source), "-o", str(tmp_path), "-q", "--overwrite"]) == 0

    def test_a_model_that_is_none_fails(self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["apply", str(source), str(source), "-o", str(tmp_path)]) == 1
        assert "PIXMODEL" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []
