"""The constants of a firmware's header are the floats that the host expects."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.firmware_host.config_header import _float


def compiled(text: str) -> np.float32:
    """What a C compiler makes of the literal."""
    assert text.endswith("f")
    return np.float32(float(text[:-1]))


def test_a_double_beside_the_middle_of_two_floats() -> None:
    """2352 counts a turn: nine digits of its radians a count are below that middle, it is above."""
    value = 2.0 * math.pi / 2352
    assert np.float32(float(f"{value:.9g}")) != np.float32(value)
    assert compiled(_float(value)) == np.float32(value)


@given(st.integers(4, 1_000_000))
def test_every_encoder_of_a_pole(counts: int) -> None:
    assert compiled(_float(2.0 * math.pi / counts)) == np.float32(2.0 * math.pi / counts)


@given(st.floats(-1e30, 1e30, width=64))
def test_every_number(value: float) -> None:
    assert compiled(_float(value)) == np.float32(value)
