"""Functions between layers are read exactly, however they are spelled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.passes import simplify
from tests.policy.onnx_file.policy_file import WIDTH, File, agrees, expected_of


def hidden_by(spell: Callable[[File, str], str], path: Path, gain: float = 1.0) -> Path:
    file = File()
    first = file.add("Mul", file.dense("observation", 5), gain)
    return file.save(file.dense(spell(file, first), 2, 5), path)


RELUS: dict[str, Callable[[File, str], str]] = {
    "Max(x, 0)": lambda f, x: f.add("Max", x, 0.0),
    "Max(0, x)": lambda f, x: f.add("Max", 0.0, x),
    "Clip(min=0)": lambda f, x: f.add("Clip", x, 0.0),
    "where(x > 0, x, 0)": lambda f, x: f.add("Where", f.add("Greater", x, 0.0), x, 0.0),
    "where(x >= 0, x, 0)": lambda f, x: f.add("Where", f.add("GreaterOrEqual", x, 0.0), x, 0.0),
    "where(x < 0, 0, x)": lambda f, x: f.add("Where", f.add("Less", x, 0.0), 0.0, x),
    "where(0 < x, x, 0)": lambda f, x: f.add("Where", f.add("Less", 0.0, x), x, 0.0),
    "where(not x < 0, x, 0)": lambda f, x: f.add(
        "Where", f.add("Not", f.add("Less", x, 0.0)), x, 0.0
    ),
    "x (x > 0)": lambda f, x: f.add(
        "Mul", x, f.add("Cast", f.add("Greater", x, 0.0), to=TensorProto.FLOAT)
    ),
    "(x + |x|) / 2": lambda f, x: f.add("Mul", f.add("Add", x, f.add("Abs", x)), 0.5),
    "PRelu of 0": lambda f, x: f.add("PRelu", x, [0.0]),
    "LeakyRelu of 0": lambda f, x: f.add("LeakyRelu", x, alpha=0.0),
}


@pytest.mark.parametrize("spelling", RELUS)
def test_every_spelling_of_relu_is_relu(spelling: str, tmp_path: Path) -> None:
    path = hidden_by(RELUS[spelling], tmp_path / "relu.onnx")
    graph, _ = agrees(path, [WIDTH])
    assert [layer.activation for layer in graph.layers] == ["relu", "identity"]


def dead_band(f: File, x: str) -> str:
    return f.add("Where", f.add("Less", f.add("Abs", x), 0.01), 0.0, x)


PIECES: dict[str, tuple[Callable[[File, str], str], float]] = {
    "where(a > 90, 90, a)": (lambda f, x: f.add("Where", f.add("Greater", x, 90.0), 90.0, x), 60),
    "a dead band of 0.01": (dead_band, 0.02),
    "a cap at 100": (lambda f, x: f.add("Min", x, 100.0), 80),
    "Sigmoid(4e-4 x)": (lambda f, x: f.add("Sigmoid", f.add("Mul", x, 4e-4)), 3000),
    "a jump far out": (lambda f, x: f.add("Where", f.add("Greater", x, 500.0), 0.0, x), 300),
    "leaky by where": (
        lambda f, x: f.add("Where", f.add("Greater", x, 0.0), x, f.add("Mul", x, 0.1)),
        2,
    ),
    "x exp(x)": (lambda f, x: f.add("Mul", x, f.add("Exp", x)), 1),
    "sqrt(|x|)": (lambda f, x: f.add("Sqrt", f.add("Abs", x)), 1000),
    "1 / (1 + x²)": (
        lambda f, x: f.add("Reciprocal", f.add("Add", f.add("Mul", x, x), 1.0)),
        10,
    ),
    "sign(x) log(1 + |x|)": (
        lambda f, x: f.add(
            "Mul", f.add("Sign", x), f.add("Log", f.add("Add", f.add("Abs", x), 1.0))
        ),
        1000,
    ),
}


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("last", [False, True])
def test_functions_are_read_as_they_are(name: str, last: bool, tmp_path: Path) -> None:
    spell, gain = PIECES[name]
    if last:
        file = File()
        sums = file.add("Mul", file.dense("observation", 5), float(gain))
        path = file.save(spell(file, sums), tmp_path / "pieces.onnx")
    else:
        path = hidden_by(spell, tmp_path / "pieces.onnx", float(gain))
    agrees(path, [WIDTH])


def test_expand_that_widens_widens(tmp_path: Path) -> None:
    file = File()
    one = file.dense(file.relu("observation", 4), 1, 4)
    path = file.save(file.add("Expand", one, file.constant([1, 5], np.int64)), tmp_path / "e.onnx")
    graph, _ = agrees(path, [WIDTH])
    assert graph.action_size == 5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-6, 6), st.integers(-3, 5))
def test_normalisers_keep_float32s_digits(
    tmp_path_factory: pytest.TempPathFactory, seed: int, scale_power: int, offset_power: int
) -> None:
    """Whatever the scale, an offset of up to 100,000 of it: as exact as the file's own order."""
    generator = np.random.default_rng(seed)
    scale = generator.uniform(1, 9, WIDTH) * 10.0**scale_power
    mean = scale * generator.normal(size=WIDTH) * 10.0**offset_power
    scale, mean = scale.astype(np.float32), mean.astype(np.float32)
    file = File()
    normal = file.add("Div", file.add("Sub", "observation", mean), scale)
    action = file.add("Tanh", file.dense(file.relu(normal, 8), 2, 8))
    path = file.save(action, tmp_path_factory.mktemp("normaliser") / "n.onnx")
    graph = read_onnx(path)
    assert np.array_equal(np.float32([s.scale for s in graph.observation]), scale)
    assert np.array_equal(np.float32([s.offset for s in graph.observation]), mean)
    x = (mean + scale * generator.normal(size=(100, WIDTH))).astype(np.float32)
    assert np.abs(graph.forward(x) - expected_of(path, x, [WIDTH])).max() <= 2e-6
    folded = simplify(graph)
    assert folded.is_folded
    assert np.abs(folded.forward(x) - graph.forward(x)).max() <= 5e-6
