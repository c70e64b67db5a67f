"""Where the reference data are, and what is in them.

The data are looked for in the folder named by the environment variable PIXTRACE_REFERENCE, else in
``../shared/reference`` beside the project, else in ``tests/data``, which holds copies of a few small cases. In CI (the
variable CI is set) the copies are not enough: there, whatever is missing is a failure.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

PROJECT = Path(__file__).resolve().parents[1]
COPIES = PROJECT / "tests" / "data"
IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}

EXPOSURE = "trace/jw00001001001_03102_00001_mirifushort_cal.fits.gz"

ALL_CASES = (
    "edge_all_nan",
    "edge_bad_end",
    "edge_few_rows",
    "edge_gaps",
    "edge_trim_all",
    "factors",
    "fs_nod",
    "fs_prism",
    "lrs_slit",
    "lrs_slitless",
    "mos",
    "mrs_1a",
    "mrs_1a_middle_all",
    "mrs_4a",
    "nrs1_ifu",
    "nrs2_ifu_faint",
)


#: Files of `pixelmap/` by their first names, and how many there are of each.
PIXELMAP_CASES = {
    "accumulate": 2,
    "geometry": 3,
    "peaks": 2,
    "pixelmap": 1,
    "process": 10,
    "sample_points": 5,
    "smooth": 4,
    "sync": 2,
}


def reference_root() -> Path:
    """Return the folder of the reference data; it may not exist, and then tests that need it fail."""
    named = os.environ.get("PIXTRACE_REFERENCE")
    if named:
        return Path(named)
    beside = PROJECT.parent / "shared" / "reference"
    return beside if beside.is_dir() or IN_CI else COPIES


def case_names() -> list[str]:
    """Return the cases to test: all of them, or outside CI, where only the copies are at hand, those."""
    root = reference_root()
    if root != COPIES:
        return list(ALL_CASES)
    return [name for name in ALL_CASES if (root / "trace" / f"{name}.npz").is_file()]


class Case:
    """One file of the reference data: inputs, parameters, and what jwst 3.0.0 made of them.

    Parameters
    ----------
    path : Path
        The ``.npz`` file.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        with np.load(path) as archive:
            self.arrays: dict[str, npt.NDArray[Any]] = {key: archive[key] for key in archive.files}
        self.params = cast("dict[str, Any]", json.loads(str(self.arrays["params"]))) if "params" in self.arrays else {}

    def __getitem__(self, key: str) -> npt.NDArray[Any]:
        return self.arrays[key]

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def text(self, key: str) -> Any:
        """Decode a JSON text stored in the file.

        Parameters
        ----------
        key : str
            Its name.

        Returns
        -------
        Any
            What the text says.
        """
        return json.loads(str(self.arrays[key]))

    @property
    def regions(self) -> list[int]:
        """Region labels, ascending."""
        labels = np.unique(self["region_map"])
        return [int(label) for label in labels if label > 0]

    @property
    def peak_threshold(self) -> dict[int, float] | None:
        """Threshold of each region on the peak of its profile."""
        found: dict[str, float] | None = self.params["peak_threshold"]
        return {int(region): value for region, value in found.items()} if found else None

    @property
    def snr_threshold(self) -> float | None:
        """Threshold on the highest signal-to-noise ratio of the profile."""
        found: float | None = self.params["snr_threshold"]
        return found


@cache
def load_case(name: str) -> Case:
    """Read one case, once.

    Parameters
    ----------
    name : str
        File name without ``.npz``.

    Returns
    -------
    Case
        Its content; the arrays are shared between tests, which must leave them as they are.
    """
    case = Case(reference_root() / "trace" / f"{name}.npz")
    for array in case.arrays.values():
        array.setflags(write=False)
    return case


def pixelmap_names(first: str) -> list[str]:
    """Return the names of the files of one kind in the reference data of pixel maps, such as "process_3".

    Parameters
    ----------
    first : str
        One of `PIXELMAP_CASES`.

    Returns
    -------
    list of str
        Their names without ``.npz``.
    """
    return [f"{first}_{number}" for number in range(PIXELMAP_CASES[first])]


@cache
def load_pixelmap(name: str) -> Case:
    """Read one file of the reference data of pixel maps, once; where it is missing the test skips, in CI it fails.

    Parameters
    ----------
    name : str
        File name without ``.npz``.

    Returns
    -------
    Case
        Its content; the arrays are shared between tests, which must leave them as they are.
    """
    path = reference_root() / "pixelmap" / f"{name}.npz"
    if not path.is_file() and not IN_CI:
        pytest.skip(f"{path} is missing; set PIXTRACE_REFERENCE to the folder that holds pixelmap/")
    case = Case(path)
    for array in case.arrays.values():
        array.setflags(write=False)
    return case
