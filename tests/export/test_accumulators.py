"""No sum of a fixed-point policy leaves its accumulator, at any time and for any observation."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.export.c_writer import c_files
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.encodings.fixed.bounds import Bounds, running_bounds, sum_bounds, value_bounds
from sparsectl.export.encodings.fixed.policy import FixedPolicy, is_shifted
from sparsectl.export.encodings.registry import FIXED
from sparsectl.export.golden import golden_vectors
from sparsectl.export.host_c import compile_c
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from tests.export.steep import steep_graph, steep_observations
from tests.tools import need

SUM_BITS = {name: 24 if name == "straight-int8" else 32 for name in FIXED}
GRAPHS = 14


def encoded(name: str, seed: int) -> tuple[EncodedPolicy, np.ndarray] | None:
    """None where the encoding refuses the graph, which it says in a line."""
    graph = steep_graph(seed)
    given = steep_observations(graph, seed)
    try:
        return FIXED[name].encode(graph, given[:60], are_met=bool(seed % 2)), given
    except UserError as error:
        assert "choose" in str(error) or "give at most" in str(error), error
        return None


def widest_sum(policy: FixedPolicy) -> int:
    """The greatest magnitude that an accumulator or a bias may have."""
    inputs, widest = Bounds(-policy.input_limit, policy.input_limit), 0
    for index, layer in enumerate(policy.layers):
        running = running_bounds(layer.weight, layer.bias, inputs)
        widest = max(widest, int(running.magnitude.max()), int(np.abs(layer.bias).max()))
        sums = sum_bounds(layer.weight, layer.bias, inputs)
        inputs = value_bounds(layer, sums, policy.shift if is_shifted(policy, index) else None)
    return widest


@pytest.mark.parametrize("name", FIXED)
def test_a_bias_that_neurons_always_awake_cancel(name: str) -> None:
    """The sum is small whatever the observation, its bias and its terms are not."""
    layers = (
        Layer([[0.001]] * 20, [1000.0] * 20, "relu"),
        Layer([[-1.0] * 20, [1.0] * 20], [20_000.0, -20_000.0], "identity"),
        Layer([[1.0, 1.0]], [0.0]),
    )
    graph = PolicyGraph(layers, (Signal("x", low=-4.0, high=4.0),), (Signal("y"),))
    policy = FIXED[name].encode(graph, steep_observations(graph, 0)[:60]).forward.__self__  # type: ignore[attr-defined]
    assert widest_sum(policy) < 2 ** (SUM_BITS[name] - 1)


@pytest.mark.parametrize("name", FIXED)
def test_no_bound_is_beyond_the_accumulator(name: str) -> None:
    taken = 0
    for seed in range(GRAPHS):
        found = encoded(name, seed)
        if found is None:
            continue
        taken += 1
        policy = found[0].forward.__self__  # type: ignore[attr-defined]
        assert isinstance(policy, FixedPolicy)
        assert widest_sum(policy) < 2 ** (SUM_BITS[name] - 1), seed
    assert taken > GRAPHS // 2


@pytest.mark.parametrize("name", FIXED)
def test_the_undefined_behaviour_sanitizer_finds_nothing(name: str, tmp_path: Path) -> None:
    """It aborts where a sum overflows; the bits are those of 64-bit integers."""
    need("gcc")
    for seed in range(GRAPHS, GRAPHS + 3):
        found = encoded(name, seed)
        if found is None:
            continue
        policy, given = found
        folder = tmp_path / str(seed)
        folder.mkdir()
        for file, text in c_files(policy, golden_vectors(policy, given[:2]), "test").items():
            (folder / file).write_text(text)
        flags = ["-shared", "-fPIC", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
        compile_c([folder / "policy.c"], folder / "policy.so", folder, [*flags, "-O1"])
        act = ctypes.CDLL(str(folder / "policy.so")).policy_act
        actions = np.empty((len(given), policy.graph.action_size), np.float32)
        for row, action in zip(given, actions, strict=True):
            act(row.ctypes.data_as(ctypes.c_void_p), action.ctypes.data_as(ctypes.c_void_p))
        expected = policy.forward(given)
        assert np.array_equal(actions.view(np.uint32), expected.view(np.uint32)), seed
