"""Fixed point: accuracy of its tanh, rounding at its edges, and sums that stay in range."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.fixed import curve
from sparsectl.export.encodings.fixed.format import Format
from sparsectl.export.encodings.fixed.policy import to_fixed
from sparsectl.export.encodings.fixed.scales import fixed_policy
from sparsectl.export.encodings.fixed.tanh import fixed_tanh
from sparsectl.export.encodings.registry import encode
from sparsectl.export.encodings.unit_weights import with_unit_weights
from sparsectl.export.host_c import compile_c
from tests.policy.graphs import observations, random_graph


def test_tanh_is_accurate_and_odd() -> None:
    x = np.arange(-40_000, 40_001)
    assert np.abs(fixed_tanh(x) / 2.0**15 - np.tanh(x / 2.0**12)).max() <= 1.5e-4
    assert np.array_equal(fixed_tanh(-x), -fixed_tanh(x))
    assert np.abs(fixed_tanh(x)).max() == 32767


def test_the_curve_of_recurrent_units_is_accurate_and_odd() -> None:
    x = np.arange(-60_000, 60_001)
    tanh, gate = curve.tanh(x), curve.gate(x)
    assert np.abs(tanh / 2.0**15 - np.tanh(x / 2.0**12)).max() <= 9e-5
    assert np.abs(gate / 2.0**16 - 1 / (1 + np.exp(-x / 2.0**12))).max() <= 4.5e-5
    assert np.array_equal(curve.tanh(-x), -tanh) and np.array_equal(curve.gate(-x), 2**16 - gate)
    assert (np.diff(tanh) >= 0).all() and (np.diff(gate) >= 0).all()
    assert (tanh[-1], gate[-1], gate[0]) == (32767, 65535, 1)


CURVES = """\
#include <stdint.h>
#define READ_I16(p) (*(p))
{table}
{functions}
void all(int32_t first, int32_t count, int16_t *tanh, uint16_t *gate);
void all(int32_t first, int32_t count, int16_t *tanh, uint16_t *gate)
{{
    for (int32_t i = 0; i < count; i++) {{
        tanh[i] = fixed_tanh(first + i);
        gate[i] = fixed_gate(first + i);
    }}
}}
"""


def test_the_c_of_the_curve_at_every_argument(tmp_path: Path) -> None:
    style = CStyle()
    functions = style.render(curve.CURVE_SOURCE, end=curve.END) + curve.TANH_SOURCE
    table = curve.TABLE.c_source(style).replace("POLICY_FLASH", "")
    source = tmp_path / "curves.c"
    source.write_text(CURVES.format(table=table, functions=functions + curve.GATE_SOURCE))
    compile_c([source], tmp_path / "curves.so", tmp_path, ["-shared", "-fPIC"])
    library = ctypes.CDLL(str(tmp_path / "curves.so"))
    x = np.arange(-70_000, 70_001)
    tanh, gate = np.empty(len(x), np.int16), np.empty(len(x), np.uint16)
    library.all(
        ctypes.c_int32(x[0]),
        ctypes.c_int32(len(x)),
        ctypes.c_void_p(tanh.ctypes.data),
        ctypes.c_void_p(gate.ctypes.data),
    )
    assert np.array_equal(tanh, curve.tanh(x)) and np.array_equal(gate, curve.gate(x))


def test_halves_round_away_from_zero_and_limits_hold() -> None:
    values = np.float32([[0.5], [-0.5], [0.49], [3.0], [1e30], [-np.inf], [1e-42]])
    fixed = to_fixed(values, np.zeros(7, np.int64), 2)
    assert fixed[:, 0].tolist() == [1, -1, 0, 2, 2, -2, 0]


@pytest.mark.parametrize("bits", [24, 32])
def test_no_sum_leaves_its_accumulator(bits: int) -> None:
    graph = random_graph((6, 40, 30, 2), 0.4, 3)
    policy = fixed_policy(graph, observations(graph, 300), Format((255,), bits, (8,)))
    highest = policy.input_limit
    lowest = -highest
    for layer in policy.layers:
        positive, negative = np.maximum(layer.weight, 0), np.minimum(layer.weight, 0)
        assert (positive @ highest + negative @ lowest + layer.bias).max() < 2 ** (bits - 1)
        assert (positive @ lowest + negative @ highest + layer.bias).min() >= -(2 ** (bits - 1))
        highest = np.minimum(layer.greatest, layer.limit)
        lowest = np.zeros_like(highest)


@pytest.mark.parametrize(
    ("encoding", "error"),
    [
        ("packed-int16", 2e-3),
        ("stream-int16", 2e-3),
        ("packed-int8", 3e-2),
        ("straight-int8", 6e-2),
    ],
)
def test_accuracy(encoding: str, error: float) -> None:
    graph = random_graph((4, 60, 50, 1), 0.08, 5)
    policy = encode(encoding, graph, observations(graph, 2000, seed=1))
    x = observations(graph, 1000, seed=2)
    assert np.abs(policy.forward(x) - graph.forward_exact(x)).max() <= error


def test_nan_in_gives_nan_out() -> None:
    graph = random_graph((3, 5, 2), 1.0)
    x = observations(graph, 4)
    policy = encode("packed-int16", graph, x)
    x[1, 2] = np.nan
    assert np.isnan(policy.forward(x)).all(axis=1).tolist() == [False, True, False, False]


def test_unit_weights_keep_the_function() -> None:
    graph = random_graph((5, 20, 15, 2), 0.3, 4)
    scaled = with_unit_weights(graph, [1.0, 2.0])
    x = observations(graph, 200)
    assert np.allclose(scaled.forward_exact(x), graph.forward_exact(x), rtol=0, atol=1e-6)
    for layer, unit in zip(scaled.layers, (1, 2), strict=False):
        largest = np.abs(layer.weight).max(axis=1)
        assert np.allclose(largest[largest > 0], unit)
