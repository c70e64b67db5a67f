"""Record what jwst 3.0.0 makes of the exposures in `tests/jwst_models.py`.

``python -m tests.parity.record_jwst_modes`` from the root of the project, in an environment that has jwst, writes
``tests/data/jwst_modes.npz``. Recorded of each case: the planes (of the IFU the rows of three slices), the frames and
the bounding boxes of the WCS, world coordinates at some pixels, the pixel areas, and the status of the step.
"""

from __future__ import annotations

import json
import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.jwst_models import CASES, write_case

if TYPE_CHECKING:
    import numpy.typing as npt

RECORD = Path(__file__).resolve().parents[1] / "data" / "jwst_modes.npz"
PLANES = ("data", "err", "var_poisson", "dq", "wavelength", "trace_model", "regions")


def rows_of(name: str, n_rows: int) -> slice:
    """Return the rows that are recorded: all, or those of the brightest slices of an IFU and its neighbours."""
    return slice(n_rows // 30, n_rows // 7) if name.startswith("ifu") else slice(None)


def parts_of(model: Any) -> list[Any]:
    """Return the slits of a model, or the model itself."""
    return list(model.slits) if hasattr(model, "slits") else [model]


def world_of(part: Any) -> npt.NDArray[np.float64]:
    """Return world coordinates on a coarse grid of pixels, shape (3, n)."""
    n_y, n_x = part.data.shape[-2:]
    y, x = (grid.ravel().astype(float) for grid in np.mgrid[0:n_y:13, 0:n_x:11])
    return np.array(part.meta.wcs(x, y)[:3], dtype=np.float64)


def box_of(part: Any) -> list[list[float]]:
    """Return the bounding box of the WCS, x before y; of an IFU the one of the third slice."""
    wcs = part.meta.wcs
    box = wcs.bounding_box
    if box is None:
        box = wcs.pipeline[1].transform.selector[3].bounding_box
    return [[float(limit) for limit in interval] for interval in box.bounding_box(order="F")]


def main() -> None:
    """Run the step on every case and write the record."""
    os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "True"
    crds_client: Any = import_module("stpipe.crds_client")
    crds_client.get_context_used = lambda _: "N/A"  # no server is needed
    step: Any = import_module("jwst.adaptive_trace_model").AdaptiveTraceModelStep

    record: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in CASES:
            path = Path(folder) / f"{name}_cal.fits"
            factor = write_case(name, path)
            result = step.call(str(path), skip=False, oversample=factor)
            facts: dict[str, Any] = {"status": result.meta.cal_step.adaptive_trace_model, "parts": []}
            for k, part in enumerate(parts_of(result)):
                rows = rows_of(name, part.data.shape[-2])
                for plane in PLANES:
                    values = getattr(part, plane, None)
                    if values is not None and np.ndim(values) == 2 and np.size(values):
                        record[f"{name}_{k}_{plane}"] = np.asarray(values)[rows]
                record[f"{name}_{k}_world"] = world_of(part)
                areas = part.meta.photometry
                facts["parts"].append(
                    {
                        "frames": list(part.meta.wcs.available_frames),
                        "box": box_of(part),
                        "areas": [areas.pixelarea_steradians, areas.pixelarea_arcsecsq],
                    }
                )
            record[f"{name}_facts"] = np.array(json.dumps(facts))
            result.close()
    np.savez_compressed(RECORD, **record)


if __name__ == "__main__":
    main()
