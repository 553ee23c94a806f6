"""Activations: accuracy without libm over all of float32, and their C against their numpy form."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.export.host_c import compile_c
from sparsectl.policy.activations import ACTIVATIONS, c_bits, c_call, c_float, c_functions
from sparsectl.policy.activations.bits import bit_functions
from sparsectl.policy.activations.exponential import LOWEST, exp_of_negative
from sparsectl.policy.activations.relu import relu
from sparsectl.policy.activations.softmax import softmax
from sparsectl.policy.activations.tanh import tanh
from sparsectl.policy.graph import Layer, Segment
from tests.tools import need

ONE_EACH = [a for a in ACTIVATIONS.values() if not a.needs_whole_layer]
WHOLE_LAYER = [a for a in ACTIVATIONS.values() if a.needs_whole_layer]
OTHER_PARAMETERS = {
    "leaky_relu": (-0.25,),
    "elu": (0.7,),
    "selu": (-0.3, 2.5),
    "clip": (-1.0, 6.0),
    "quantise": (0.037, -100.0, 155.0),
}


def over_the_float32_range() -> np.ndarray:
    """Random bit patterns, dense grids where the functions bend, and every special value."""
    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    grids = [np.linspace(-10, 10, 400_001), np.linspace(-110, 110, 100_001)]
    near_zero = np.geomspace(1e-9, 1, 50_001)
    special = [0.0, -0.0, math.inf, -math.inf, math.nan, 1e-45, -1e-45, 1e-38, 8.7, -87, 88, 3e38]
    parts = [*grids, near_zero, -near_zero, special]
    return np.concatenate([patterns, *[np.array(part, np.float32) for part in parts]])


def parameters_of(name: str) -> list[tuple[float, ...]]:
    neurons = ACTIVATIONS[name].operands
    defaults = Segment(neurons, name).parameters
    others = Segment(neurons, name, OTHER_PARAMETERS.get(name, ())).parameters
    return list(dict.fromkeys([defaults, others]))


@pytest.mark.parametrize("activation", ONE_EACH, ids=lambda a: a.name)
def test_the_stated_error_holds_over_the_float32_range(activation) -> None:
    x = over_the_float32_range()
    x = x[np.isfinite(x)]
    for parameters in parameters_of(activation.name):
        with np.errstate(all="ignore"):
            found = activation.forward(x, *parameters).astype(np.float64)
            exact = activation.exact(x.astype(np.float64), *parameters)
        assert np.array_equal(np.isnan(found), np.isnan(exact))
        inside = np.abs(exact) < 3e38
        own = activation.absolute_error * max((1.0, *map(abs, parameters)))
        allowed = own + activation.relative_error * np.abs(exact) + 1e-44
        over = np.abs(found - exact)[inside] - allowed[inside]
        assert over.max() <= 0, (x[inside][over.argmax()], over.max())


def test_the_exponential_is_within_9e_8_of_itself() -> None:
    x = np.linspace(LOWEST, 0, 2_000_001, dtype=np.float32)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(exp_of_negative(x) - exact) / exact).max() <= 9e-8
    assert exp_of_negative(np.float32([0, -0.0, -87.1, -math.inf])).tolist() == [1, 1, 0, 0]


def test_tanh_keeps_sign_saturates_at_one_and_leaves_small_values() -> None:
    small = np.array([0.0, -0.0, 1e-45, -1e-40, 1e-20], np.float32)
    assert tanh(small).view(np.uint32).tolist() == small.view(np.uint32).tolist()
    large = np.array([math.inf, -math.inf, 9.1, -100], np.float32)
    assert tanh(large).tolist() == [1, -1, 1, -1]
    grid = np.linspace(-10, 10, 400_001, dtype=np.float32)
    assert np.array_equal(tanh(-grid), -tanh(grid))
    assert np.abs(tanh(grid)).max() == 1


def test_relu_lets_nan_through() -> None:
    values = relu(np.array([-1, 2, math.nan, -math.inf, math.inf], np.float32))
    assert values[:2].tolist() == [0, 2] and math.isnan(values[2])
    assert values[3:].tolist() == [0, math.inf]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 1000), st.sampled_from([0.01, 1, 30, 1e30]), st.integers(0, 2**32 - 1))
def test_softmax_is_within_its_error(width: int, scale: float, seed: int) -> None:
    x = (np.random.default_rng(seed).normal(size=(width, 5)) * scale).astype(np.float32)
    activation = ACTIVATIONS["softmax"]
    wide = x.astype(np.float64)
    error = np.abs(softmax(x) - activation.exact(wide))
    assert (error <= activation.rounding(wide, np.zeros_like(wide))).all()


def test_argmax_takes_the_first_of_equals_and_tells_of_nan() -> None:
    columns = np.float32([[1, 3, 0, 5], [2, 3, -1, math.nan], [2, 1, -2, 9]])
    found = ACTIVATIONS["argmax"].forward(columns)
    assert found[:, :3].tolist() == [[1, 0, 0]] and math.isnan(found[0, 3])


def unit(names: Iterable[str], entry: str) -> str:
    """A C file of the activations' functions, with what gives them a float's bits."""
    names = list(names)
    bits = bit_functions(c_bits(names), portable=False)
    return "\n".join(["#include <stdint.h>\n", bits, *c_functions(names), entry])


def compiled(name: str, flags: list[str], folder: Path):
    parameters = ACTIVATIONS[name].parameters
    taken = "".join(f", float {parameter}" for parameter, _ in parameters)
    passed = "".join(f", {parameter}" for parameter, _ in parameters)
    signature = f"void run(float *x, unsigned n{taken})"
    entry = f"{signature};\n{signature}\n{{\n    {name}_all(x, n{passed});\n}}\n"
    source, library = folder / "activation.c", folder / "activation.so"
    source.write_text(unit([name], entry))
    warnings = ["-Wconversion", "-Werror"]
    compile_c([source], library, folder, ["-shared", "-fPIC", *warnings, *flags])
    run = ctypes.CDLL(str(library)).run
    run.argtypes = [ctypes.c_void_p, ctypes.c_uint, *([ctypes.c_float] * len(parameters))]
    return run


def same_bits(expected: np.ndarray, found: np.ndarray) -> bool:
    """Equal in every bit, but any NaN for any NaN."""
    numbers = ~np.isnan(expected)
    same = np.array_equal(expected.view(np.uint32)[numbers], found.view(np.uint32)[numbers])
    return same and bool(np.isnan(found[~numbers]).all())


@pytest.mark.parametrize("activation", [a for a in ONE_EACH if a.c_all], ids=lambda a: a.name)
@pytest.mark.parametrize("flags", [["-O0"], ["-O3"]])
def test_c_gives_the_bits_of_numpy(activation, flags: list[str], tmp_path: Path) -> None:
    run = compiled(activation.name, flags, tmp_path)
    x = over_the_float32_range()
    for parameters in parameters_of(activation.name):
        found = x.copy()
        with np.errstate(all="ignore"):
            expected = activation.forward(x, *parameters)
        run(found.ctypes.data, len(found), *parameters)
        assert same_bits(expected, found)
        assert np.isnan(found[np.isnan(x)]).all()  # a broken input does not look like a calm one


@pytest.mark.parametrize("activation", WHOLE_LAYER, ids=lambda a: a.name)
def test_c_of_a_whole_layer_gives_the_bits_of_numpy(activation, tmp_path: Path) -> None:
    run = compiled(activation.name, ["-O3"], tmp_path)
    parameters = parameters_of(activation.name)[0]
    generator = np.random.default_rng(3)
    for case in range(400):
        size = generator.integers(1, 40) * activation.operands
        x = (generator.normal(size=size) * 10 ** (case % 8 - 2)).astype("f4")
        if case % 3 == 1:
            x = np.round(x)  # ties
        if case % 10 == 9:
            x[generator.integers(len(x))] = math.nan
        found = x.copy()
        with np.errstate(all="ignore"):
            expected = activation.forward(x, *parameters)
        run(found.ctypes.data, len(found), *parameters)
        assert same_bits(np.ravel(expected), found[: expected.size])


def test_every_activation_is_clean_with_the_cross_compilers(tmp_path: Path) -> None:
    need("avr-gcc", "arm-none-eabi-gcc", "clang")
    source = tmp_path / "all.c"
    calls = [f"    {c_call(name, p, 'x', 6)}" for name in ACTIVATIONS for p in parameters_of(name)]
    body = "\n".join(["void run(float *x);", "void run(float *x)", "{", *calls, "}", ""])
    source.write_text(unit(ACTIVATIONS, body))
    for compiler in (
        ["arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb"],
        ["avr-gcc", "-mmcu=atmega328p"],
        [
            "arm-none-eabi-gcc",
            "-mcpu=cortex-m4",
            "-mthumb",
            "-mfloat-abi=hard",
            "-mfpu=fpv4-sp-d16",
        ],
        ["clang"],
    ):
        object_file = tmp_path / f"{compiler[0]}.o"
        compile_with(compiler, source, object_file)
        assert object_file.stat().st_size > 0


def compile_with(compiler: list[str], source: Path, output: Path) -> None:
    import subprocess

    warnings = "-Wall -Wextra -Wdouble-promotion -Wfloat-conversion -Wconversion -Werror".split()
    command = [*compiler, "-std=c99", "-Os", *warnings, "-c", str(source), "-o", str(output)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_c_without_the_loops_is_the_functions_of_one_number() -> None:
    text = "\n".join(c_functions(["gelu", "silu", "relu", "tanh"], loops=False))
    assert text.count("exp_of_negative(float x)") == 1 and "_all(" not in text
    for name in ("gelu", "silu", "relu", "tanh"):
        assert f"static float {name}_of(float x)" in text


def test_parameters_are_checked() -> None:
    one = np.ones((1, 1)), np.ones(1)
    assert Layer(*one, "leaky_relu").parameters == (float(np.float32(0.01)),)
    for name, parameters in [("relu", (1.0,)), ("elu", (math.inf,)), ("clip", (1.0,))]:
        with pytest.raises(UserError, match="has the parameters"):
            Layer(*one, name, parameters)


def test_hexadecimal_floats_keep_every_bit() -> None:
    values = over_the_float32_range()
    for value in values[np.isfinite(values)][::997]:
        assert np.float32(float.fromhex(c_float(value).removesuffix("f"))) == value
    assert [c_float(v) for v in (0.0, 1.0, -0.1)] == ["0x0p+0f", "0x1p+0f", "-0x1.99999ap-4f"]
