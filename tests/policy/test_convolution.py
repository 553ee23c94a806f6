"""Convolutions of a PolicyGraph: the same sums as their weights written out for each place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import Layer, PolicyGraph, Segment
from sparsectl.policy.passes import fold_normaliser, simplify
from sparsectl.policy.rounding import float32_rounding
from tests.policy.graphs import convolutional_graph, observations, written_out

two = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw: st.DrawFn) -> Convolution:
    size = {name: draw(st.integers(1, 7)) for name in ("channels", "height", "width")}
    pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
    kernel, dilations = draw(two), draw(two)
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    assume(reach[0] <= size["height"] + pads[0] + pads[2])
    assume(reach[1] <= size["width"] + pads[1] + pads[3])
    return Convolution(
        **size,
        kernel=kernel,
        strides=draw(two),
        dilations=dilations,
        pads=pads,
        channels_first=draw(st.booleans()),
    )


@settings(deadline=None, max_examples=50)
@given(convolutions(), st.integers(1, 5), st.integers(0, 2**31))
def test_it_is_its_weights_written_out_bit_for_bit(
    convolution: Convolution, outputs: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(outputs, convolution.patch_size))
    weight *= generator.random(weight.shape) < 0.7
    layer = Layer(weight, generator.normal(size=outputs), "relu", convolution=convolution)
    x = generator.normal(size=(layer.inputs, 3)).astype(np.float32)
    whole = written_out(layer)
    assert (layer.inputs, layer.outputs) == (whole.inputs, whole.outputs)
    exact = whole.sums(x.T.astype(np.float64))
    assert np.allclose(layer.sums(x.T.astype(np.float64)), exact, rtol=1e-12, atol=1e-12)
    if not convolution.channels_first:  # then the patch's order is the image's
        assert np.array_equal(layer.forward(x), whole.forward(x))
    else:
        assert np.allclose(layer.forward(x), whole.forward(x), rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=100)
@given(convolutions(), st.sampled_from([(), (3,), (2, 3)]))
def test_its_patches_are_those_of_its_index(
    convolution: Convolution, batch: tuple[int, ...]
) -> None:
    values = np.arange(1, 1 + convolution.inputs * np.prod(batch, dtype=int), dtype=np.int64)
    values = values.reshape(*batch, convolution.inputs)
    edged = np.concatenate([values, np.zeros((*batch, 1), np.int64)], axis=-1)
    np.testing.assert_array_equal(convolution.patches(values), edged[..., convolution.index])
    turned = np.moveaxis(np.moveaxis(values, -1, 0).copy(), 0, -1)  # another layout in memory
    np.testing.assert_array_equal(convolution.patches(turned), edged[..., convolution.index])


@pytest.mark.parametrize("seed", range(4))
def test_simplified_it_is_the_same_function(seed: int) -> None:
    graph = convolutional_graph(seed, layers=1 + seed % 2, padded=seed > 1, kept=0.3)
    first = replace(graph.layers[0], weight=graph.layers[0].weight * ([[0]] + [[1]] * 3))
    graph = replace(graph, layers=(first, *graph.layers[1:]))
    x = observations(graph)
    assert np.allclose(simplify(graph).forward(x), graph.forward(x), rtol=0, atol=1e-6)


def test_channels_that_nothing_reads_are_dropped() -> None:
    graph = convolutional_graph(1, layers=2)
    first, second, reader, last = graph.layers
    kernel = second.weight.reshape(len(second.weight), -1, 4).copy()
    kernel[:, :, 2] = 0
    read = reader.weight.reshape(len(reader.weight), -1, 5).copy()
    read[:, :, 0] = 0
    second = replace(second, weight=kernel.reshape(len(kernel), -1))
    reader = replace(reader, weight=read.reshape(len(read), -1))
    graph = replace(graph, layers=(first, second, reader, last))
    slim = simplify(graph)
    assert [len(layer.bias) for layer in slim.layers[:2]] == [3, 4]
    x = observations(graph)
    assert np.array_equal(slim.forward(x), graph.forward(x))


def test_a_channel_without_weights_is_a_constant() -> None:
    graph = convolutional_graph(2)
    weight = graph.layers[0].weight.copy()
    weight[1] = 0
    first = replace(graph.layers[0], weight=weight, bias=np.float32([0.1, 0.7, -0.2, 0.3]))
    graph = replace(graph, layers=(first, *graph.layers[1:]))
    slim = simplify(graph)
    assert len(slim.layers[0].bias) == 3
    x = observations(graph)
    assert np.allclose(slim.forward(x), graph.forward(x), rtol=0, atol=1e-6)


def normalised(graph: PolicyGraph, scale: np.ndarray, offset: np.ndarray) -> PolicyGraph:
    signals = tuple(
        replace(signal, scale=float(s), offset=float(o))
        for signal, s, o in zip(graph.observation, scale, offset, strict=True)
    )
    return replace(graph, observation=signals)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    ("scale", "offset", "layers"),
    [
        (np.full(90, 255.0), np.zeros(90), [3, 3]),
        (np.full(90, 2.0), np.full(90, 1.0), [3, 4]),
        (np.full(90, 2.0), np.full(90, 100.0), [4, 4]),
        (np.tile([1.0, 2.0, 4.0], 30), np.tile([0.0, 1.0, 1.0], 30), [3, 4]),
        (np.linspace(1, 2, 90), np.zeros(90), [4, 4]),
    ],
)
def test_a_normaliser_is_folded_into_the_kernel(
    scale: np.ndarray, offset: np.ndarray, layers: list[int], padded: bool
) -> None:
    graph = normalised(convolutional_graph(3, padded=padded), scale, offset)
    folded = fold_normaliser(graph)
    assert folded.is_folded and len(folded.layers) == layers[padded]
    x = observations(graph) * scale.astype(np.float32) + offset.astype(np.float32)
    assert np.allclose(folded.forward_exact(x), graph.forward_exact(x), rtol=0, atol=1e-5)


def test_its_rounding_is_estimated_from_above() -> None:
    graph = convolutional_graph(5, layers=2, padded=True)
    x = observations(graph, 500)
    off = np.abs(graph.forward(x) - graph.forward_exact(x))
    assert off.max() > 0
    assert (off <= float32_rounding(graph, x)).all()


def test_its_geometry_is_part_of_the_digest() -> None:
    graph = convolutional_graph(0, sizes=(3, 6, 6))
    convolution = graph.layers[0].convolution
    assert convolution is not None
    turned = replace(convolution, channels_first=True)
    other = replace(graph.layers[0], convolution=turned)
    assert replace(graph, layers=(other, *graph.layers[1:])).digest != graph.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": (7, 1)}, "larger than its image of 6 x 5"),
        ({"kernel": (0, 1)}, "numbers from 1 to"),
        ({"pads": (-1, 0, 0, 0)}, r"pads \[-1, 0, 0, 0\]; give numbers from 0 on"),
        ({"strides": (0, 1)}, "numbers from 1 to"),
        ({"height": 2**40}, "numbers from 1 to"),
        ({"height": 100_000, "width": 100_000, "kernel": (1, 1)}, "at most 32000 pixels"),
        ({"height": 9000, "width": 9000, "kernel": (1, 1)}, "reads 243000000 values"),
        ({"kernel": (1.5, 1)}, "give whole numbers"),
        ({"pads": (0, 0)}, "give whole numbers"),
    ],
)
def test_a_convolution_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Convolution(**{"channels": 3, "height": 6, "width": 5, "kernel": (3, 3)} | changes)


def test_what_does_not_fit_a_convolution_is_refused() -> None:
    convolution = Convolution(3, 6, 5, (3, 3))
    weight, bias = np.ones((4, 27)), np.zeros(4)
    with pytest.raises(UserError, match="kernel of 26 weights for patches of 27"):
        Layer(weight[:, 1:], bias, convolution=convolution)
    with pytest.raises(UserError, match="activation 'softmax' after a convolution"):
        Layer(weight, bias, "softmax", convolution=convolution)
    with pytest.raises(UserError, match="activation 'mixed' after a convolution"):
        segments = (Segment(24, "relu"), Segment(24, "tanh"))
        Layer(weight, bias, segments=segments, convolution=convolution)
    large = Convolution(1, 128, 128, (1, 1))
    with pytest.raises(UserError, match="32768 x 16384 weights"):
        Layer(np.ones((2, 1)), np.zeros(2), convolution=large)
