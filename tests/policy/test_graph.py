"""PolicyGraph: the order of operations, the digest, what is refused."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import Layer, PolicyGraph, Segment, Signal
from sparsectl.policy.onnx_file.reader import read_onnx
from tests.policy.graphs import graphs, observations, random_graph


def one_by_one(graph: PolicyGraph, observation: np.ndarray) -> list[np.float32]:
    """The forward pass as the C has it, a number at a time, without activations."""
    x = list(observation)
    for layer in graph.layers:
        y = []
        for row in range(layer.outputs):
            total = layer.bias[row]
            for column in range(layer.inputs):
                total = np.float32(total + np.float32(layer.weight[row, column] * x[column]))
            y.append(total)
        x = y
    return x


def test_sums_start_at_the_bias_and_take_the_columns_in_order() -> None:
    graph = random_graph((23, 17, 3), 0.4, activations=("identity", "identity"))
    free = replace(graph, action=tuple(Signal(s.name) for s in graph.action))
    for observation in observations(free, 20):
        assert free.forward(observation).tolist() == one_by_one(free, observation)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_float32_stays_near_float64(graph: PolicyGraph) -> None:
    given_observations = observations(graph, 50)
    difference = graph.forward(given_observations) - graph.forward_exact(given_observations)
    assert np.abs(difference).max() < 2e-4


def test_one_observation_and_a_batch_of_any_size_give_the_same_bits() -> None:
    graph = random_graph((6, 40, 2), 0.3, normalised=True, action_map=True, frames=2)
    batch = observations(graph, 600)
    together = graph.forward(batch)
    assert together.shape == (600, 2) and together.dtype == np.float32
    assert np.array_equal(together, np.stack([graph.forward(row) for row in batch]))


def test_normaliser_repeats_a_frame_and_the_action_is_clipped_in_physical_units() -> None:
    graph = PolicyGraph(
        (Layer([[1, 0, 0, 0]], [0]), Layer([[1]], [0])),
        (Signal("angle", "rad", scale=2, offset=1), Signal("rate", "rad/s", scale=4)),
        (Signal("duty", "1", scale=10, offset=1, low=-5, high=8),),
        frames=2,
        period_s=0.01,
    )
    assert graph.forward([1.5, 9, 9, 9]).tolist() == [10 * 0.25 + 1]
    assert graph.forward([[90, 0, 0, 0], [-90, 0, 0, 0]]).tolist() == [[8], [-5]]


def test_nan_reaches_the_action_only_through_weights() -> None:
    graph = PolicyGraph(
        (Layer([[1, 0]], [0], "relu"), Layer([[1]], [0], "tanh")),
        (Signal("a"), Signal("b")),
        (Signal("duty", low=-1, high=1),),
    )
    assert math.isnan(graph.forward([math.nan, 0])[0])
    assert graph.forward([0.5, math.nan])[0] == graph.forward([0.5, 0])[0]


def test_digest_is_fixed() -> None:
    """A change here is a change of every artefact's identity."""
    graph = PolicyGraph(
        (Layer([[0.5, -1.0]], [0.25], "tanh"),),
        (Signal("angle", "rad", 1, 0, -3.5, 3.5), Signal("rate", "rad/s")),
        (Signal("duty", "1", 1, 0, -1, 1),),
        period_s=0.02,
        rig="bench",
    )
    assert graph.canonical_bytes() == (
        b"sparsectl.policy 1\n"
        b'{"layers":[[1,2,"tanh"]],"signals":{"action":[{"high":1.0,"low":-1.0,"name":"duty",'
        b'"offset":0.0,"scale":1.0,"unit":"1"}],"frames":1.0,"observation":[{"high":3.5,"low":-3.5,'
        b'"name":"angle","offset":0.0,"scale":1.0,"unit":"rad"},{"high":null,"low":null,'
        b'"name":"rate","offset":0.0,"scale":1.0,"unit":"rad/s"}],"period_s":0.02,"rig":"bench"}}\n'
        b"\x00\x00\x00\x3f\x00\x00\x80\xbf\x00\x00\x80\x3e"
    )
    assert re.fullmatch("[0-9a-f]{64}", graph.digest)


def test_digest_names_the_controller_and_nothing_else() -> None:
    graph = random_graph((4, 3, 1))
    elsewhere = replace(graph, provenance={"revision": "x"}, environment="other")
    zero, minus_zero = (_with_first_weight(graph, value) for value in (0.0, -0.0))
    assert elsewhere.digest == graph.digest
    assert minus_zero.digest == zero.digest != graph.digest
    others = [
        replace(graph, period_s=0.01),
        replace(graph, rig="other"),
        replace(graph, action=(replace(graph.action[0], high=0.9),)),
        replace(graph, layers=(*graph.layers[:1], replace(graph.layers[1], activation="relu"))),
    ]
    assert len({graph.digest, *(other.digest for other in others)}) == 5


def _with_first_weight(graph: PolicyGraph, value: float) -> PolicyGraph:
    first = graph.layers[0]
    weight = first.weight.copy()
    weight[0, 0] = value
    layer = Layer(weight, first.bias, first.activation)
    return replace(graph, layers=(layer, *graph.layers[1:]))


def test_arrays_cannot_be_written() -> None:
    weight = np.ones((1, 2), np.float32)
    layer = Layer(weight, [0])
    weight[0, 0] = 5
    assert layer.weight[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0, 0] = 2


ONE = (Signal("o"),)
LAYER = Layer([[1]], [0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Layer([[math.nan, 1]], [0]), "1 of the weights are not finite.*nan at .0, 0."),
        (lambda: Layer([[1]], [1e39]), "1 of the biases are not finite.*inf at .0."),
        (lambda: Layer([[1], [2]], [0]), "1 biases for 2 neurons"),
        (lambda: Layer([1], [0]), "weights of shape .1.; give 2 dimensions"),
        (lambda: Layer(np.zeros((0, 3)), []), "a layer of 0 x 3"),
        (
            lambda: Layer(np.zeros((1, 70_000)), [0]),
            "280,000 bytes of RAM; give 1 to 16384 neurons",
        ),
        (lambda: Layer([[1]], [0], "maxout"), "activation 'maxout' is not known; use one of"),
        (lambda: Signal("v", scale=0), "signal 'v' has scale 0"),
        (lambda: Signal("v", scale=math.nan), "signal 'v' has scale nan"),
        (lambda: Signal("v", offset=math.inf), "signal 'v' has offset inf"),
        (lambda: Signal("v", low=2, high=1), "signal 'v' has limits .2, 1."),
        (lambda: Signal("v", low=math.nan), "signal 'v' has limits .nan, None."),
        (lambda: PolicyGraph((), ONE, ONE), "a policy of 0 layers"),
        (lambda: PolicyGraph((LAYER,), ONE * 3, ONE), "layer 0 takes 1 values but the observation"),
        (lambda: PolicyGraph((LAYER, Layer([[1, 2]], [0])), ONE, ONE), "layer 1 takes 2 values"),
        (lambda: PolicyGraph((LAYER,), ONE, ONE * 2), "gives 1 values but there are 2 action"),
        (lambda: PolicyGraph((LAYER,), ONE, ONE, frames=0), "frames is 0"),
        (lambda: PolicyGraph((LAYER,), ONE, ONE, period_s=-1), "period_s is -1"),
        (lambda: random_graph((4, 3, 1)).forward([1.0, 2.0]), "shape .2.; this policy takes 4"),
        (lambda: random_graph((4, 3, 1)).forward(np.zeros((2, 2, 2))), "takes 4 values"),
    ],
)
def test_mistakes_are_named(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_limits_beyond_float32_are_none() -> None:
    signal = Signal("v", low=-math.inf, high=1e300)
    assert (signal.low, signal.high) == (None, None)


def test_the_digest_of_what_was_exported_before_is_the_same() -> None:
    """That file's digest was written before activations had parameters."""
    path = Path(__file__).parents[1] / "hil" / "easy_policy.onnx"
    written = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert read_onnx(path).digest == written["sparsectl.digest"]


def test_parameters_and_heads_are_part_of_the_digest() -> None:
    one = Signal("o"), Signal("a")

    def graph(*last: Any) -> PolicyGraph:
        layers = (Layer(np.ones((3, 1)), np.zeros(3), "elu", last[:1]), Layer(np.ones((1, 3)), [0]))
        return PolicyGraph(layers, one[:1], one[1:])

    assert graph(1.0).digest == graph().digest != graph(0.5).digest
    assert b'[3,1,"elu",1.0]' in graph().canonical_bytes()
    assert b'[1,3,"identity"]' in graph().canonical_bytes()


def test_heads_are_possible_in_any_layer() -> None:
    softmax = Layer(np.ones((2, 1)), np.zeros(2), "softmax")
    argmax = Layer(np.eye(2), np.zeros(2), "argmax")
    graph = PolicyGraph((softmax, argmax), (Signal("o"),), (Signal("a"),))
    assert graph.forward([2.0]).tolist() == [0.0]
    layers = (replace(softmax, activation="relu"), argmax)
    graph = PolicyGraph(layers, (Signal("o"),), (Signal("a"),))
    assert graph.forward([2.0]).tolist() == [0.0] and graph.forward_exact([2.0]).tolist() == [0.0]
    with pytest.raises(UserError, match="'clip' after the last layer"):
        PolicyGraph((replace(softmax, activation="clip"),), (Signal("o"),), (Signal("a"),) * 2)


def test_segments_of_a_layer_follow_one_another() -> None:
    parts = (
        Segment(2),
        Segment(1),
        Segment(3, "argmax"),
        Segment(4, "product"),
        Segment(1, "relu"),
    )
    bias = [1, -2, 3, 0, 7, 5, 2, 3, 10, -1, -4]
    layer = Layer(np.zeros((11, 1)), bias, segments=parts)
    assert [part.neurons for part in layer.segments] == [3, 3, 4, 1]
    assert (layer.activation, layer.outputs, layer.results) == ("mixed", 11, 7)
    signals = tuple(Signal(f"a{i}") for i in range(7))
    graph = PolicyGraph((layer,), (Signal("o"),), signals)
    assert graph.forward([0.0]).tolist() == [1, -2, 3, 1, 20, -3, 0]
    assert layer.result_of.tolist() == [0, 1, 2, *[-1] * 7, 6]
    assert Layer(np.zeros((2, 1)), [0, 0], segments=(Segment(1), Segment(1))).segments == ()
    with pytest.raises(UserError, match="activations of 3 neurons for 2"):
        Layer(np.zeros((2, 1)), [0, 0], segments=(Segment(3),))
    with pytest.raises(UserError, match="'product' over 3 neurons; give 2"):
        Segment(3, "product")
