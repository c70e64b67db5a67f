"""Products of every mode against those of jwst's own step, plane by plane, with the WCS."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jwst_models import CASES, write_case
from tests.jwst_product import make_product
from tests.parity.agreement import assert_planes_agree
from tests.parity.record_jwst_modes import PLANES, RECORD, box_of, parts_of, rows_of, world_of
from tests.untyped import datamodels

# The planes are float32. Single pixels in the far wings of a spline differ by more, relative to themselves: nothing
# remains of them but the rounding of what was subtracted; agreement is measured against the median of the plane.
TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    """Return what jwst made of the cases."""
    with np.load(RECORD) as archive:
        return {key: archive[key] for key in archive.files}


@pytest.mark.parametrize("name", CASES)
def test_product_agrees_with_jwst(name: str, record: dict[str, Any], tmp_path: Path) -> None:
    factor = write_case(name, tmp_path / "in_cal.fits")
    make_product(tmp_path / "in_cal.fits", tmp_path / "product.fits", factor)
    facts = json.loads(str(record[f"{name}_facts"]))
    with datamodels.open(tmp_path / "product.fits") as model:
        model.validate()
        assert model.meta.cal_step.adaptive_trace_model == facts["status"]
        parts = parts_of(model)
        assert len(parts) == len(facts["parts"])
        for k, (part, expected) in enumerate(zip(parts, facts["parts"], strict=True)):
            assert list(part.meta.wcs.available_frames) == expected["frames"]
            np.testing.assert_allclose(box_of(part), expected["box"], rtol=0, atol=1e-9)
            np.testing.assert_allclose(world_of(part), record[f"{name}_{k}_world"], rtol=1e-14)
            areas = part.meta.photometry
            np.testing.assert_allclose(
                [areas.pixelarea_steradians, areas.pixelarea_arcsecsq], expected["areas"], rtol=1e-15
            )
            rows = rows_of(name, part.data.shape[-2])
            for plane in PLANES:
                key = f"{name}_{k}_{plane}"
                found = getattr(part, plane, None)
                if key not in record:
                    assert plane == "regions" or found is None or np.ndim(found) != 2 or not np.size(found), key
                    continue
                values = np.asarray(found)[rows]
                if values.dtype.kind == "f":
                    assert_planes_agree(values, record[key], key, tolerance=TOLERANCE)
                else:
                    np.testing.assert_array_equal(values, record[key], err_msg=key)
