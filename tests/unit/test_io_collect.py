import json
import os
from pathlib import Path

import pytest

from pixtrace.exceptions import FileReadError
from pixtrace.io.collect import collect_inputs


def touch(directory: Path, *names: str) -> list[Path]:
    """Make empty files."""
    paths = [directory / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return paths


def association(path: Path, *members: tuple[str, str]) -> Path:
    """Write an association."""
    content = {"products": [{"name": "p", "members": [{"expname": n, "exptype": t} for n, t in members]}]}
    path.write_text(json.dumps(content))
    return path


def test_files_in_the_order_given_each_once(tmp_path: Path) -> None:
    b, a = touch(tmp_path, "b.fits", "a.fits.gz")
    link = tmp_path / "link.fits"
    link.symlink_to(b)
    assert collect_inputs([b, str(a), tmp_path / "." / "b.fits", link]) == [b, a]


def test_directory_prefers_calibrated_exposures(tmp_path: Path) -> None:
    touch(tmp_path, "j_rate.fits", "notes.txt", "j_cal.jpg", "j_s3d.fits", "below/j_cal.fits", ".hidden_cal.fits")
    cal = touch(tmp_path, "a_cal.fits", "b_cal.fits.gz", "c_calints.fits")
    assert collect_inputs([tmp_path]) == cal


def test_directory_of_plain_files_without_products_and_packed_twins(tmp_path: Path) -> None:
    touch(tmp_path, "a_oversampled.fits", "a_trace.fits", "a.fits.gz")
    plain = touch(tmp_path, "a.fits", "c.FITS")
    assert collect_inputs([tmp_path]) == plain


def test_directory_of_products_alone(tmp_path: Path) -> None:
    touch(tmp_path, "a_adaptive_trace_model.fits", "a_spline_full.fits", "a_linear_interp.fits")
    with pytest.raises(FileReadError, match=r"holds no exposure: .*; 3 with names of products were passed over"):
        collect_inputs([tmp_path])
    plain = touch(tmp_path, "a.fits")
    assert collect_inputs([tmp_path]) == plain


def test_association_names_its_science(tmp_path: Path) -> None:
    a, b, _ = touch(tmp_path, "a_cal.fits", "b_cal.fits.gz", "bg_cal.fits")
    path = association(
        tmp_path / "x_asn.json", ("a_cal.fits", "science"), ("bg_cal.fits", "background"), ("b_cal.fits", "SCIENCE")
    )
    assert collect_inputs([path, a]) == [a, b]


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    path = association(tmp_path / "x_asn.json", ("a_cal.fits", "science"))
    with pytest.raises(FileReadError, match=r"a_cal\.fits does not exist; it is a science member of .*x_asn\.json"):
        collect_inputs([path])


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"products": 3}',
        '{"products": [3, {"members": 1}, {"members": [1, {"expname": 3}, {"exptype": "science"}]}]}',
        '{"products": [{"members": [{"expname": "a.fits", "exptype": "background"}]}]}',
    ],
)
def test_an_association_without_science(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x_asn.json"
    path.write_text(text)
    with pytest.raises(FileReadError, match="names no exposure"):
        collect_inputs([path])


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_an_association_that_is_no_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x_asn.json"
    path.write_bytes(content)
    with pytest.raises(FileReadError, match=r"x_asn\.json cannot be read"):
        collect_inputs([path])


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match=r"none\.fits does not exist"):
        collect_inputs([tmp_path / "none.fits"])
    with pytest.raises(FileReadError, match=r"none_asn\.json does not exist"):
        collect_inputs([tmp_path / "none_asn.json"])
    with pytest.raises(FileReadError, match="holds no exposure"):
        collect_inputs([tmp_path])


def test_what_is_not_fits(tmp_path: Path) -> None:
    (text,) = touch(tmp_path, "notes.txt")
    with pytest.raises(FileReadError, match=r"notes\.txt is not a FITS file by its name"):
        collect_inputs([text])


def test_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = touch(tmp_path, "a.fits")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FileReadError, match=r"a\.fits may not be read"):
        collect_inputs([path])


def test_a_missing_member_can_be_passed_over(tmp_path: Path) -> None:
    (tmp_path / "b_cal.fits").touch()
    missing: list[FileReadError] = []
    found = collect_inputs(
        [association(tmp_path / "x_asn.json", ("a_cal.fits", "science"), ("b_cal.fits", "science"))],
        on_missing=missing.append,
    )
    assert [path.name for path in found] == ["b_cal.fits"]
    assert "a_cal.fits does not exist" in str(missing[0])
