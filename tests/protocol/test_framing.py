from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.protocol.framing import cobs_decode, cobs_encode, crc32


def test_crc_check_value() -> None:
    assert crc32(b"123456789") == 0xCBF43926


def test_crc_chains() -> None:
    assert crc32(b"6789", crc32(b"12345")) == 0xCBF43926


@pytest.mark.parametrize(
    ("plain", "stuffed"),
    [
        (b"", b"\x01"),
        (b"\x00", b"\x01\x01"),
        (b"\x00\x00", b"\x01\x01\x01"),
        (b"\x11\x22\x00\x33", b"\x03\x11\x22\x02\x33"),
        (b"\x11\x22\x33\x44", b"\x05\x11\x22\x33\x44"),
        (b"\x11\x00\x00\x00", b"\x02\x11\x01\x01\x01"),
    ],
)
def test_cobs_vectors(plain: bytes, stuffed: bytes) -> None:
    assert cobs_encode(plain) == stuffed
    assert cobs_decode(stuffed) == plain


@pytest.mark.parametrize("size", [253, 254, 255, 507, 508, 509])
@pytest.mark.parametrize("around", [(b"", b""), (b"\x00", b""), (b"", b"\x00"), (b"", b"\x00\x07")])
def test_cobs_full_blocks(size: int, around: tuple[bytes, bytes]) -> None:
    plain = around[0] + b"\xaa" * size + around[1]
    stuffed = cobs_encode(plain)
    assert 0 not in stuffed
    assert len(stuffed) <= len(plain) + 1 + len(plain) // 254
    assert cobs_decode(stuffed) == plain


@given(st.binary(max_size=1200) | st.lists(st.sampled_from([0, 1, 255]), max_size=700).map(bytes))
def test_cobs_round_trip(plain: bytes) -> None:
    stuffed = cobs_encode(plain)
    assert 0 not in stuffed
    assert cobs_decode(stuffed) == plain


@pytest.mark.parametrize("stuffed", [b"\x05\x11", b"\xff" + b"\x01" * 200, b"\x00", b"\x02\x00"])
def test_cobs_refuses(stuffed: bytes) -> None:
    assert cobs_decode(stuffed) is None
