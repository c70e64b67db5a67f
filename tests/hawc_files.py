"""Small raw HAWC+ scans, as they are and changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from pixtrace.simulate import ArrayLayout, ScanNoise, ScanParams
from tests.untyped import fits

PARAMS = ScanParams(
    array=ArrayLayout(
        n_rows=4, n_columns=5, first_row=12, first_column=8, row_stride=32, centre=(15.5, 19.5), rotation=10.0
    ),
    noise=ScanNoise(jitter=0.05),
    n_frames=300,
    vpa=40.0,
)
Hdus: TypeAlias = Any  # of astropy, which has no types
Change: TypeAlias = Callable[[Hdus], None]


def changed(source: Path, target: Path, change: Change) -> Path:
    """Write a copy of a file in which something is different."""
    with fits.open(source) as hdus:
        change(hdus)
        hdus.writeto(target)
    return target


def without(*names: str) -> Change:
    """Return a change that takes columns away."""

    def change(hdus: Hdus) -> None:
        columns = fits.ColDefs([column for column in hdus[2].columns if column.name not in names])
        hdus[2] = fits.BinTableHDU.from_columns(columns, name="Timestream")

    return change


def with_values(name: str, values: Any) -> Change:
    """Return a change of some numbers of a column."""

    def change(hdus: Hdus) -> None:
        values(hdus[2].data[name])

    return change
