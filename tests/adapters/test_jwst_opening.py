"""Which exposures `pixtrace.adapters.jwst` reads, which it leaves to jwst, and what it says of that."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pixtrace.adapters.jwst import _opening
from pixtrace.adapters.jwst._opening import Options, open_exposure
from tests.jwst_models import miri_lrs, miri_mrs, nirspec_ifu, nirspec_slit


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was warned of yet."""
    monkeypatch.setattr(_opening, "_warned", set[Any]())


@pytest.fixture(scope="module")
def mrs() -> Any:
    return miri_mrs()


def changed(make: Callable[[], Any], **paths: Any) -> Any:
    """Return a datamodel with some of its attributes set; ``__`` stands for a dot."""
    model = make()
    for path, value in paths.items():
        *way, name = path.split("__")
        place = model
        for part in way:
            place = getattr(place, part)
        setattr(place, name, value)
    return model


def without_wcs() -> Any:
    model = miri_mrs()
    del model.meta.instance["wcs"]
    return model


def without_slice_numbers() -> Any:
    model = nirspec_ifu()
    del model.instance["regions"]
    return model


def ifu_frames_on_a_slit() -> Any:
    model = miri_lrs()
    model.meta.instance["wcs"] = nirspec_ifu().meta.wcs
    return model


def test_an_exposure_we_know(mrs: Any, caplog: pytest.LogCaptureFixture) -> None:
    opened = open_exposure(mrs, Options(oversample_factor=2.0, slope_limit=0.2))
    assert opened is not None
    assert opened.params.slope_limit == 0.2
    assert set(opened.regions) == {101, 102}
    np.testing.assert_array_equal(opened.image.flux, np.rot90(mrs.data))
    assert not caplog.records


@pytest.mark.parametrize(
    ("make", "options", "reason"),
    [
        (lambda: nirspec_slit(n_integrations=2), {}, "no image of two dimensions"),
        (
            lambda: changed(miri_mrs, meta__exposure__type="MIR_IMAGE"),
            {},
            "no trace model for exposures of type MIR_IMAGE",
        ),
        (lambda: changed(miri_mrs, meta__exposure__type="NRS_FIXEDSLIT"), {}, "IFUImageModel is not what its mode"),
        (miri_mrs, {"oversample_factor": 0.5}, "the oversampling factor is 0.5"),
        (miri_mrs, {"oversample_factor": float("nan")}, "the oversampling factor is nan"),
        (miri_mrs, {"slope_limit": float("nan")}, "slope_limit"),
        (without_wcs, {}, "it has no WCS"),
        (without_slice_numbers, {}, "no image of slice numbers"),
        (ifu_frames_on_a_slit, {}, "begins with the frame"),
    ],
)
def test_exposures_that_are_left_to_jwst(
    make: Callable[[], Any], options: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert open_exposure(make(), Options(**options)) is None
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "leaves" in record.getMessage()
    assert reason in record.getMessage()


@pytest.mark.parametrize("error", [TypeError("a mistake"), ValueError("a mistake"), KeyError("a mistake")])
def test_a_mistake_of_ours_is_not_taken_for_an_exposure_we_do_not_know(
    error: Exception, mrs: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(_opening, "_image", fail)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert open_exposure(mrs, Options()) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO, logging.INFO]
    message = caplog.records[0].getMessage()
    assert f"{type(error).__name__}: " in message
    assert "a mistake" in message
    assert "test_jwst_opening.py:" in message
    assert "report" in message


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()])
def test_what_is_no_matter_of_reading_goes_through(
    error: BaseException, mrs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(_opening, "_image", fail)
    with pytest.raises(type(error)):
        open_exposure(mrs, Options())
