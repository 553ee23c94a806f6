"""Graphs that the tests of export share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import save_file

from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import Layer, PolicyGraph, Signal

ACTIVATIONS = ("identity", "relu", "tanh")


def random_graph(
    widths: tuple[int, ...],
    kept: float = 1.0,
    seed: int = 0,
    *,
    activations: tuple[str, ...] | None = None,
    frames: int = 1,
    normalised: bool = False,
    action_map: bool = False,
) -> PolicyGraph:
    """An MLP of `widths` with a share `kept` of its weights; the action in [-1, 1] or mapped."""
    generator = np.random.default_rng(seed)
    hidden = len(widths) - 2
    names = activations or ("relu",) * hidden + ("tanh",)
    layers = []
    for inputs, outputs, name in zip(widths, widths[1:], names, strict=False):
        weight = generator.normal(size=(outputs, inputs)) / np.sqrt(max(1.0, inputs * kept))
        weight *= generator.random(weight.shape) < kept
        bias = generator.normal(size=outputs) * 0.3 * (generator.random(outputs) < 0.8)
        layers.append(Layer(weight, bias, name))
    signals = [
        Signal(
            f"o{i}",
            "m",
            scale=float(generator.uniform(0.2, 3)) if normalised else 1.0,
            offset=float(generator.normal()) if normalised else 0.0,
            low=-4.0 if i % 2 else None,
            high=4.0 if i % 2 else None,
        )
        for i in range(widths[0] // frames)
    ]
    action = [
        Signal(f"a{i}", "1", 2.5, 0.25, -1.7, None if i % 2 else 2.1)
        if action_map
        else Signal(f"a{i}", "1", low=-1.0, high=1.0)
        for i in range(widths[-1])
    ]
    return PolicyGraph(tuple(layers), tuple(signals), tuple(action), frames, 0.02, "bench", "env")


@st.composite
def graphs(draw: st.DrawFn, max_width: int = 60, max_layers: int = 5) -> PolicyGraph:
    """Any sparse graph: empty rows and columns, all zero, one neuron, every activation."""
    widths = draw(st.lists(st.integers(1, max_width), min_size=2, max_size=max_layers + 1))
    activations = draw(
        st.lists(st.sampled_from(ACTIVATIONS), min_size=len(widths), max_size=len(widths))
    )
    return random_graph(
        tuple(widths),
        draw(st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0])),
        draw(st.integers(0, 2**32 - 1)),
        activations=tuple(activations),
        normalised=draw(st.booleans()),
        action_map=draw(st.booleans()),
    )


def convolutional_graph(
    seed: int = 0,
    *,
    layers: int = 1,
    padded: bool = False,
    kept: float = 1.0,
    activations: tuple[str, ...] = ("relu", "relu", "tanh"),
    sizes: tuple[int, ...] = (3, 6, 5),
    channels: tuple[int, ...] = (4, 5),
    hidden: int = 7,
    actions: int = 2,
    channels_first: bool = False,
) -> PolicyGraph:
    """One convolution or several (activations[0]), a layer of `hidden` neurons, the actions.

    sizes: channels, height and width of the image; channels: of each convolution's results.
    """
    generator = np.random.default_rng(seed)
    made: list[Layer] = []
    given, height, width = sizes
    for index in range(layers):
        kernel = (min(3, height), min(2, width))
        geometry = Convolution(
            given,
            height,
            width,
            kernel,
            strides=(1, 2 if index == 0 and width > 3 else 1),
            pads=(1, 0, 0, 1) if padded else (0, 0, 0, 0),
            channels_first=channels_first and index == 0,
        )
        weight = generator.normal(size=(channels[index], geometry.patch_size))
        weight *= generator.random(weight.shape) < kept
        bias = 0.3 * generator.normal(size=channels[index])
        scaled = weight / np.sqrt(geometry.patch_size)
        made.append(Layer(scaled, bias, activations[0], convolution=geometry))
        given, (height, width) = channels[index], geometry.places
    for outputs, name in zip((hidden, actions), activations[1:], strict=True):
        inputs = made[-1].results
        weight = generator.normal(size=(outputs, inputs)) / np.sqrt(inputs * kept)
        weight *= generator.random(weight.shape) < kept
        made.append(Layer(weight, 0.3 * generator.normal(size=outputs), name))
    signals = tuple(Signal(f"o{i}") for i in range(made[0].inputs))
    names = tuple(Signal(f"a{i}", low=-1.0, high=1.0) for i in range(actions))
    return PolicyGraph(tuple(made), signals, names, period_s=0.02)


def written_out(layer: Layer) -> Layer:
    """A convolution as a layer with weights of its own for each place, columns as in a patch."""
    convolution = layer.convolution
    assert convolution is not None
    bias = np.tile(layer.bias, convolution.count)
    return Layer(layer.matrix(), bias, layer.activation, layer.parameters)


def observations(graph: PolicyGraph, count: int = 200, seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, graph.observation_size)).astype(np.float32) * 3


def student_tensors(graph: PolicyGraph, with_mask: bool = False) -> dict[str, np.ndarray]:
    """A posterior that collapses to `graph`: pruned weights have a mean and a large log alpha."""
    tensors = {}
    for index, layer in enumerate(graph.layers):
        kept = layer.weight != 0
        mean = np.where(kept, layer.weight, np.float32(0.01))
        log_sigma = np.log(np.abs(mean)) + np.where(kept, -2.0, 3.0)
        tensors[f"layers.{index}.mean"] = mean
        tensors[f"layers.{index}.log_sigma"] = log_sigma.astype(np.float32)
        tensors[f"layers.{index}.bias"] = layer.bias.copy()
        if with_mask:
            tensors[f"layers.{index}.mask"] = kept.astype(np.uint8)
            tensors[f"layers.{index}.log_sigma"] = np.full_like(mean, -20.0)
    return tensors


def student_metadata(graph: PolicyGraph) -> dict[str, Any]:
    return {
        "format": "sparsectl.student",
        "version": 1,
        "activations": [layer.activation for layer in graph.layers],
        "log_alpha_threshold": 2.0,
        "signals": graph.signals(),
        "environment": graph.environment,
        "seed": 3,
        "provenance": {"revision": "abc"},
    }


def write_student(
    path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, Any] | str | None
) -> Path:
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    save_file(tensors, path, None if metadata is None else {"sparsectl": text})
    return path
