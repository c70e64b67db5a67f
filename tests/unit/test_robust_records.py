"""What fits record of themselves."""

import numpy as np
import pytest

from pixtrace.exceptions import ParameterError
from pixtrace.trace import fit_all_regions, fit_robust
from tests.reference import load_case
from tests.slits import FIT, fit_reference, fit_weighted, slit


def test_a_record_changes_no_model() -> None:
    scene = slit()
    data = scene.observe(2)
    data[:, 100:108] = np.nan
    plain = fit_all_regions(data, scene.error, scene.alpha, scene.labels, **FIT)
    recorded = fit_reference(data, scene)
    assert recorded == plain
    assert plain.record(1) is None
    record = recorded.record(1)
    assert record is not None
    np.testing.assert_array_equal(record.columns, list(plain[1]))
    assert not record.is_weighted
    assert set(record.absent) == set(range(100, 108))
    assert set(record.absent.values()) == {"too few good pixels"}
    assert np.all(record.n_points + record.n_rejected <= 100 * 30)
    assert 0.8 < np.median(record.chi2) < 1.1
    covariance = record.covariance(50)
    parts = record.covariance(50, 1) + record.covariance(50, 2)
    np.testing.assert_allclose(covariance, parts, rtol=1e-6, atol=1e-9 * covariance.max())
    assert np.all(np.linalg.eigvalsh(covariance) > 0)
    with pytest.raises(ParameterError, match="column 104 of region 1 has no trace"):
        record.covariance(104)
    with pytest.raises(ParameterError, match="no such variance"):
        record.covariance(50, 3)
    assert "absent" in repr(record)


def test_fits_say_whether_they_are_adequate() -> None:
    scene = slit()
    record = fit_weighted(scene.observe(7), scene).record(1)
    assert record is not None
    assert record.is_adequate.mean() > 0.9
    # A profile that changes from column to column cannot be followed.
    spoiled = scene.observe(7) * (1.0 + 0.3 * np.sin(1.7 * np.arange(240.0)) * np.tanh(scene.alpha))
    record = fit_weighted(spoiled, scene).record(1)
    assert record is not None
    assert record.is_adequate.mean() < 0.2
    # Errors that are too large are no fault of the model.
    generous = fit_robust(scene.observe(7), 2.0 * scene.error, scene.alpha, scene.labels).record(1)
    assert generous is not None
    assert generous.is_adequate.all()


def test_reused_fits_say_whose_they_are() -> None:
    case = load_case("edge_gaps")
    model = fit_all_regions(
        case["flux"],
        case["err"],
        case["alpha"],
        case["region_map"],
        snr_threshold=case.snr_threshold,
        covariance=True,
        space_ratio=1.6,
    )
    record = model.record(1)
    assert record is not None
    reused = record.origin == "reused"
    np.testing.assert_array_equal(reused, record.fitted_for != record.columns)
    assert 0 < np.count_nonzero(reused) == len(model[1]) - model[1].n_fits
    for column, other in zip(record.columns[reused], record.fitted_for[reused], strict=True):
        assert model[1][int(column)].model is model[1][int(other)].model
