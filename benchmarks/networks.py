"""The networks that the kernels' figures are for: random weights, always the same ones.

    python benchmarks/networks.py --out runs/networks

| name | shape | weights |
| --- | --- | --- |
| a | 4-256-256-1 | dense |
| b | 4-128-128-1 | dense |
| c | 4-128-128-1 | 1,100 kept at random places, 200 / 820 / 80 a layer |
| d | 11-128-128-3 | 1,700 kept, 400 / 1100 / 200 |
| p | 25-128-128-1 | 1,108 kept, 400 / 640 / 68: the size of the published pendulum student |
| teacher | 25-256-256-1 | dense: that student's teacher |

Hidden layers are relu, the output is tanh. The counts are before any pass: of weights at random
places many lead nowhere, and finding them is the exporter's work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro

from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.onnx_file.writer import write_onnx

SEED = 0

SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...] | None]] = {
    "a": ((4, 256, 256, 1), None),
    "b": ((4, 128, 128, 1), None),
    "c": ((4, 128, 128, 1), (200, 820, 80)),
    "d": ((11, 128, 128, 3), (400, 1100, 200)),
    "p": ((25, 128, 128, 1), (400, 640, 68)),
    "teacher": ((25, 256, 256, 1), None),
}
"""Neurons a layer, from the observation on, and the weights kept a layer (None: all)."""

OUTPUT_MAGNITUDE = 0.7
"""Mean |sum| before the last tanh, where it bends: an error in a sum shows in the action."""


@dataclass(frozen=True)
class NetworksConfig:
    """Write each network as ONNX."""

    out: Path = Path("runs/networks")
    """Folder for a.onnx, b.onnx, and so on."""


def networks() -> dict[str, PolicyGraph]:
    """Every network by its name, drawn from one generator in the order of `SHAPES`."""
    generator = np.random.default_rng(SEED)
    return {name: _network(generator, *shape) for name, shape in SHAPES.items()}


def network_observations(graph: PolicyGraph, count: int, seed: int = 1) -> Float32:
    """Standard normal observations, [count, observation_size]: what the networks are made for."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((count, graph.observation_size)).astype(np.float32)


def write_networks(out: Path) -> list[Path]:
    """NAME.onnx for each network."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, graph in networks().items():
        paths.append(out / f"{name}.onnx")
        write_onnx(graph, paths[-1])
    return paths


def _network(
    generator: np.random.Generator, widths: tuple[int, ...], kept: tuple[int, ...] | None
) -> PolicyGraph:
    layers = []
    for index, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
        if kept is None:
            weight = generator.normal(0, np.sqrt(2 / inputs), (outputs, inputs))
        else:
            weight = _sparse(generator, (outputs, inputs), kept[index])
        bias = generator.normal(0, 0.1, outputs)
        activation = "relu" if index < len(widths) - 2 else "tanh"
        layers.append(Layer(weight.astype(np.float32), bias.astype(np.float32), activation))
    return _with_output_magnitude(
        PolicyGraph(
            tuple(layers),
            tuple(Signal(f"o{i}") for i in range(widths[0])),
            tuple(Signal(f"a{i}", low=-1.0, high=1.0) for i in range(widths[-1])),
        )
    )


def _sparse(generator: np.random.Generator, shape: tuple[int, int], kept: int) -> np.ndarray:
    """`kept` weights at random places, of the variance that keeps the activations' size."""
    weight = np.zeros(shape)
    places = generator.choice(weight.size, kept, replace=False)
    weight.flat[places] = generator.normal(0, np.sqrt(2 * shape[0] / kept), kept)
    return weight


def _with_output_magnitude(graph: PolicyGraph) -> PolicyGraph:
    last = graph.layers[-1]
    linear = replace(graph, layers=(*graph.layers[:-1], replace(last, activation="identity")))
    unlimited = replace(linear, action=tuple(Signal(s.name) for s in graph.action))
    sums = unlimited.forward_exact(network_observations(graph, 256))
    factor = OUTPUT_MAGNITUDE / np.abs(sums).mean()
    scaled = Layer(last.weight * factor, last.bias * factor, last.activation)
    return replace(graph, layers=(*graph.layers[:-1], scaled))


if __name__ == "__main__":
    for path in write_networks(tyro.cli(NetworksConfig).out):
        print(path)
