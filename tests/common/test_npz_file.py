"""Arrays of an npz that anyone may have made: whole, or refused with a reason."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparsectl.common.npz_file import BadNpz, read_arrays

LIMIT = 2**20


def header(shape: str, described: str = "'<f4'") -> bytes:
    text = f"{{'descr': {described}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def written(path: Path, content: bytes, name: str = "a.npy") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "<i8", "|b1", "<U3", "|u1"])
def test_arrays_come_back_as_they_were_saved(dtype: str, tmp_path: Path) -> None:
    values = np.asfortranarray(np.arange(12).reshape(4, 3).astype(dtype))
    np.savez_compressed(tmp_path / "x.npz", a=values, b=np.zeros((0, 3)), other=values)
    arrays = read_arrays(tmp_path / "x.npz", ("a", "b", "c"), LIMIT)
    assert set(arrays) == {"a", "b"} and arrays["b"].shape == (0, 3)
    assert arrays["a"].dtype == values.dtype and (arrays["a"] == values).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header("(1000000000000000, 3)"), "says that its shape is"),
        (header("(9223372036854775808,)"), "says that its shape is"),
        (header("(-8, -3)") + bytes(96), "says that its shape is"),
        (header("(True, 3)") + bytes(12), "says that its shape is"),
        (header("(8, 3)"), "says that its shape is"),
        (header("(8.0, 3)") + bytes(96), "the header of `a` is damaged"),
        (header("(3,"), "the header of `a` is damaged"),
        (header("(2,)", "'|O'") + bytes(16), "has Python objects"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 9000) + b"(" * 8999, "header of `a` is damaged"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "is damaged|numpy's format 9.0"),
        (b"hello", "the header of `a` is damaged"),
        (b"", "the header of `a` is damaged"),
    ],
)
def test_what_a_header_says_is_checked_before_it_is_believed(
    content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadNpz, match=message):
        read_arrays(written(tmp_path / "x.npz", content), ("a",), LIMIT)


def test_two_arrays_of_one_name_and_large_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    content = io.BytesIO()
    np.save(content, np.zeros(9))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content.getvalue())
        with pytest.warns(UserWarning):
            archive.writestr("a.npy", content.getvalue())
    with pytest.raises(BadNpz, match="2 arrays `a`"):
        read_arrays(path, ("a",), LIMIT)
    with pytest.raises(BadNpz, match="the limit is 100"):
        read_arrays(path, ("a",), 100)


def test_an_entry_that_is_no_array_is_none(tmp_path: Path) -> None:
    assert read_arrays(written(tmp_path / "x.npz", b"hello", "a"), ("a",), LIMIT) == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), changed=st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_refused_or_whole(place: float, changed: bytes, tmp_path: Path) -> None:
    values: Any = np.arange(24, dtype=np.float32).reshape(8, 3)
    content = io.BytesIO()
    np.savez(content, a=values)
    spoiled = bytearray(content.getvalue())
    at = int(place * len(spoiled))
    spoiled[at : at + len(changed)] = changed
    (tmp_path / "x.npz").write_bytes(spoiled)
    try:
        arrays = read_arrays(tmp_path / "x.npz", ("a",), LIMIT)
    except BadNpz:
        return
    assert "a" not in arrays or (arrays["a"] == values).all()
