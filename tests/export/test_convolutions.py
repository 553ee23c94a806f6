"""Convolutions in C: bit for bit the reference, in every encoding that takes them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.export.c_style import CStyle
from sparsectl.export.c_writer import c_files
from sparsectl.export.encodings.encoding import Code
from sparsectl.export.encodings.registry import AUTO, CONVOLVING, ENCODINGS, FIXED, encode
from sparsectl.export.golden import golden_vectors
from sparsectl.export.host_c import run_c
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from tests.export.test_assembly import actions_on
from tests.policy.graphs import convolutional_graph, observations
from tests.tools import need


def images_alone(seed: int) -> PolicyGraph:
    """Its last layer is a convolution; the actions are its values."""
    graph = convolutional_graph(seed, layers=2, activations=("tanh", "relu", "tanh"))
    layers = graph.layers[: 1 + seed % 2]
    actions = tuple(Signal(f"a{i}") for i in range(layers[-1].outputs))
    return replace(graph, layers=layers, action=actions)


def image_made_of_neurons(seed: int) -> PolicyGraph:
    """A layer of weights whose values a convolution reads as an image."""
    graph = convolutional_graph(seed)
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(graph.observation_size, 5)) * 0.5
    first = Layer(weight, np.zeros(len(weight)), "tanh")
    layers = (first, *graph.layers)
    return replace(graph, layers=layers, observation=graph.observation[:5])


def wide(seed: int) -> PolicyGraph:
    """More channels than a block has rows, and rows that are left over."""
    return convolutional_graph(seed, channels=(43, 5), layers=2, kept=0.6)


GRAPHS = {
    "one": lambda: convolutional_graph(0, kept=0.5),
    "two, padded": lambda: convolutional_graph(1, layers=2, padded=True),
    "channels first": lambda: convolutional_graph(2, padded=True, channels_first=True),
    "channels first, whole": lambda: convolutional_graph(3, channels_first=True),
    "one row": lambda: convolutional_graph(4, layers=2, sizes=(2, 1, 9), padded=True),
    "of tanh": lambda: convolutional_graph(5, layers=2, activations=("tanh", "relu", "tanh")),
    "argmax": lambda: choosing(7),
    "alone": lambda: images_alone(0),
    "two alone": lambda: images_alone(1),
    "after neurons": lambda: image_made_of_neurons(2),
    "wide": lambda: wide(3),
    "dilated": lambda: dilated(4),
}


def choosing(seed: int) -> PolicyGraph:
    graph = convolutional_graph(seed)
    last = replace(graph.layers[-1], activation="argmax")
    return replace(graph, layers=(*graph.layers[:-1], last), action=(Signal("choice"),))


def dilated(seed: int) -> PolicyGraph:
    graph = convolutional_graph(seed, sizes=(2, 9, 8))
    geometry = Convolution(2, 9, 8, (3, 2), (2, 1), (2, 3))
    weight = np.random.default_rng(seed).normal(size=(4, geometry.patch_size))
    first = Layer(weight, graph.layers[0].bias, "relu", convolution=geometry)
    reader = graph.layers[1]
    read = np.random.default_rng(seed).normal(size=(reader.outputs, first.outputs))
    second = replace(reader, weight=read / np.sqrt(first.outputs))
    return replace(graph, layers=(first, second, *graph.layers[2:]))


NO_SCALE = ("after neurons",)
"""Where each value that a convolution reads has a scale of its own."""


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("encoding", sorted(CONVOLVING - {AUTO}))
def test_the_c_is_the_reference_bit_for_bit(name: str, encoding: str, tmp_path: Path) -> None:
    need("gcc")
    graph = GRAPHS[name]()
    if encoding in FIXED and name in NO_SCALE:
        with pytest.raises(UserError, match="choose a float32 encoding"):
            encode(encoding, graph, observations(graph, 4))
        return
    x = observations(graph, 100)
    x[::7] = np.round(x[::7] > 3)  # images of zeros and ones
    policy = encode(encoding, graph, x)
    for file, text in c_files(policy, golden_vectors(policy, x[:4]), "test").items():
        (tmp_path / file).write_text(text)
    found = run_c(tmp_path, x, graph.action_size, tmp_path)
    expected = policy.forward(x)
    assert np.ptp(expected) > 0
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))
    if policy.encoding.kind == "float32":
        assert np.array_equal(expected, graph.forward(x))
    elif graph.layers[-1].activation != "argmax":
        allowed = 0.1 if policy.encoding.kind == "int8" else 5e-3
        assert np.abs(expected - graph.forward(x)).max() < allowed * np.ptp(expected)


@pytest.mark.parametrize(
    ("encoding", "core"),
    [("blocks-skip", "cortex-m4f"), ("dense-int16", "cortex-m4f"), ("dense-int8", "cortex-m4f")],
)
def test_a_core_gives_the_bits_of_numpy(encoding: str, core: str, tmp_path: Path) -> None:
    need("arm-none-eabi-gcc")
    graph = convolutional_graph(1, layers=2, padded=True, kept=0.6)
    x = observations(graph, 12)
    policy = encode(encoding, graph, x)
    assert policy.assembly
    found = actions_on(core, policy, x, tmp_path)
    assert np.array_equal(found.view(np.uint32), policy.forward(x).view(np.uint32))


@pytest.mark.parametrize("encoding", ["dense-int16", "dense-int8"])
def test_values_need_not_stand_at_multiples_of_four(encoding: str, tmp_path: Path) -> None:
    """A compiler may put an array of 16 bits at any even address."""
    need("arm-none-eabi-gcc")
    graph = convolutional_graph(0)
    x = observations(graph, 12)
    policy = encode(encoding, graph, x)

    def moved(style: CStyle) -> Code:
        code = policy.write(style)
        pattern = r"int16_t patch\[(\d+)\] = \{0\};"
        room = r"int16_t room[\1 + 2] __attribute__((aligned(4))) = {0};"
        room += "\n    int16_t *const patch = room + 1;"
        functions, count = re.subn(pattern, room, code.functions)
        assert count == 1
        return replace(code, functions=functions)

    found = actions_on("cortex-m4f", replace(policy, write=moved), x, tmp_path)
    assert np.array_equal(found.view(np.uint32), policy.forward(x).view(np.uint32))


def test_its_weights_stand_once() -> None:
    graph = convolutional_graph(0, sizes=(4, 10, 10), channels=(16,))
    policy = encode("dense", graph, observations(graph, 4))
    weights = sum(layer.weight.size + layer.bias.size for layer in graph.layers)
    assert policy.table_bytes == 4 * weights


@pytest.mark.parametrize("encoding", sorted(set(ENCODINGS) - CONVOLVING))
def test_an_encoding_without_them_says_which_have(encoding: str) -> None:
    graph = convolutional_graph(0)
    with pytest.raises(UserError, match=f"encoding '{encoding}' has no convolutions; choose auto"):
        encode(encoding, graph, observations(graph, 4))
