"""Activations: accuracy of the libm-free tanh, and its C against its numpy form."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

import numpy as np
import pytest

from export.activations import ACTIVATIONS, c_float, relu, tanh
from export.host_c import compile_c


def over_the_float32_range() -> np.ndarray:
    """Random bit patterns, a dense grid where tanh bends, and every special value."""
    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    grid = np.linspace(-10, 10, 400_001, dtype=np.float32)
    special = [0.0, -0.0, math.inf, -math.inf, math.nan, 1e-45, -1e-45, 1e-38, 8.7, 9.1, 3e38]
    return np.concatenate([patterns, grid, np.array(special, np.float32)])


def test_tanh_is_accurate_over_the_float32_range() -> None:
    x = over_the_float32_range()
    finite = x[~np.isnan(x)]
    error = np.abs(tanh(finite) - np.tanh(finite.astype(np.float64)))
    assert error.max() <= 3.6e-7
    assert np.isnan(tanh(x[np.isnan(x)])).all()


def test_tanh_agrees_with_math() -> None:
    for value in (0.1, 0.5, 1.0, 2.0, 5.0, 8.0):
        assert float(tanh(np.float32([value]))[0]) == pytest.approx(math.tanh(value), abs=4e-7)


def test_tanh_keeps_sign_saturates_at_one_and_leaves_small_values() -> None:
    small = np.array([0.0, -0.0, 1e-45, -1e-40, 1e-20], np.float32)
    assert tanh(small).view(np.uint32).tolist() == small.view(np.uint32).tolist()
    large = np.array([math.inf, -math.inf, 8.8, -100], np.float32)
    assert tanh(large).tolist() == [1, -1, 1, -1]
    grid = np.linspace(-10, 10, 400_001, dtype=np.float32)
    assert np.array_equal(tanh(-grid), -tanh(grid))
    assert np.abs(tanh(grid)).max() == 1


def test_relu_lets_nan_through() -> None:
    values = relu(np.array([-1, 2, math.nan, -math.inf, math.inf], np.float32))
    assert values[:2].tolist() == [0, 2] and math.isnan(values[2])
    assert values[3:].tolist() == [0, math.inf]


@pytest.mark.parametrize("name", [a.name for a in ACTIVATIONS.values() if a.c_source])
@pytest.mark.parametrize("flags", [["-O0"], ["-O3", "-std=c99"]])
def test_c_gives_the_bits_of_numpy(name: str, flags: list[str], tmp_path: Path) -> None:
    signature = "void run(float *x, unsigned n)"
    entry = f"{signature};\n{signature}\n{{\n    {name}_all(x, n);\n}}\n"
    source, library = tmp_path / "activation.c", tmp_path / "activation.so"
    source.write_text(ACTIVATIONS[name].c_source + entry)
    compile_c([source], library, tmp_path, ["-shared", "-fPIC", "-Werror", *flags])
    x = over_the_float32_range()
    expected, found = ACTIVATIONS[name].forward(x), x.copy()
    run = ctypes.CDLL(str(library)).run
    run.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    run(found.ctypes.data, len(found))
    is_number = ~np.isnan(x)
    assert np.array_equal(expected[is_number].view(np.uint32), found[is_number].view(np.uint32))
    assert np.isnan(found[~is_number]).all()


def test_hexadecimal_floats_keep_every_bit() -> None:
    values = over_the_float32_range()
    for value in values[np.isfinite(values)][::997]:
        assert np.float32(float.fromhex(c_float(value).removesuffix("f"))) == value
    assert [c_float(v) for v in (0.0, 1.0, -0.1)] == ["0x0p+0f", "0x1p+0f", "-0x1.99999ap-4f"]
