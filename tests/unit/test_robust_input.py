"""Bad input, impossible images, and what must not change the result of a weighted fit."""

import numpy as np
import pytest

from pixtrace.exceptions import DataError, ParameterError
from pixtrace.trace import fit_all_regions, fit_robust, oversample_with_errors
from tests.slits import FIT, fit_weighted, slit


def test_bad_input_is_refused() -> None:
    scene = slit()
    data = scene.observe(0)
    with pytest.raises(DataError, match="no errors"):
        fit_all_regions(data, None, scene.alpha, scene.labels, covariance=True)
    with pytest.raises(ParameterError, match="half_windows"):
        fit_robust(data, scene.error, scene.alpha, scene.labels, half_windows=[])
    with pytest.raises(ParameterError, match="knots_per_pixel"):
        fit_robust(data, scene.error, scene.alpha, scene.labels, knots_per_pixel=[99.0])
    with pytest.raises(ParameterError, match="clip_sigma"):
        fit_robust(data, scene.error, scene.alpha, scene.labels, clip_sigma=-1)
    plain = fit_all_regions(data, scene.error, scene.alpha, scene.labels, **FIT)
    arguments = (data, scene.error, scene.alpha, scene.labels, 2, scene.alpha_os)
    with pytest.raises(DataError, match="region 1 has no record"):
        oversample_with_errors(plain, *arguments)
    with pytest.raises(DataError, match="no record of its fit with these variances"):
        oversample_with_errors(fit_weighted(data, scene), *arguments, variances=[scene.read] * 3)
    with pytest.raises(ValueError, match="shape"):
        fit_robust(data, scene.error[:-1], scene.alpha, scene.labels)
    with pytest.raises(ValueError, match="variance"):
        fit_robust(data, scene.error, scene.alpha, scene.labels, variances=[scene.read[:-1]])


@pytest.mark.parametrize("what", ["nan", "one pixel", "one column", "no region", "zero error", "flat alpha", "huge"])
def test_impossible_images_give_empty_models_or_finite_ones(what: str) -> None:
    scene = slit()
    data, error, alpha, labels = scene.observe(0), scene.error, scene.alpha, scene.labels
    match what:
        case "nan":
            data = np.full_like(data, np.nan)
        case "one pixel":
            data, error, alpha, labels = data[:1, :1], error[:1, :1], alpha[:1, :1], labels[:1, :1]
        case "one column":
            data, error, alpha, labels = data[:, :1], error[:, :1], alpha[:, :1], labels[:, :1]
        case "no region":
            labels = labels * 0
        case "zero error":
            error = error * 0
        case "flat alpha":
            alpha = alpha * 0
        case _:
            data = data * 1e200
    model = fit_robust(data, error, alpha, labels)
    for region in model.values():
        for trace in region.values():
            assert np.isfinite(trace.scale)
            assert np.all(np.isfinite(trace.model.c))


def test_threads_change_nothing_and_inputs_stay() -> None:
    scene = slit()
    data = scene.observe(4)
    before = data.copy()
    one = fit_robust(data, scene.error, scene.alpha, scene.labels, n_threads=1)
    many = fit_robust(np.asfortranarray(data), scene.error.astype(">f8"), scene.alpha, scene.labels, n_threads=4)
    assert one == many
    np.testing.assert_array_equal(data, before)
    doubled = fit_robust(4 * data, 4 * scene.error, scene.alpha, scene.labels)
    for column, trace in one[1].items():
        assert doubled[1][column].scale == pytest.approx(4 * trace.scale, rel=1e-9)
