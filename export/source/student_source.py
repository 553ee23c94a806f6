"""A student as a source: its network before any pass, run in torch if that is installed."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.export.source.source import Normaliser
from sparsectl.export.source.thresholds import choice_margins
from sparsectl.policy.activations import Float32, Float64
from sparsectl.policy.activations.recurrent import CELLS
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.recurrent import Gru
from sparsectl.policy.rounding import float32_rounding
from sparsectl.policy.student import read_blocks


class StudentSource:
    """A student's network; see `export.source.source.Source`."""

    output: str | None = None
    unused_inputs: tuple[str, ...] = ()
    has_float64_numbers: bool = False

    def __init__(self, path: Path, graph: PolicyGraph) -> None:
        """graph: as `policy.student.read_student` gives it; of a recurrent one the tick."""
        self.file = path.name
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.data_sha256: dict[str, str] = {}
        self.run_by = "torch" if importlib.util.find_spec("torch") else "numpy"
        self.normaliser = Normaliser(graph.observation_offset, np.abs(graph.observation_scale))
        self._graph = graph
        self._path = path
        self._values: PolicyGraph | None = None
        self.thresholds: tuple[str, ...] = ()
        *before, last = graph.layers
        if last.activation == "argmax":  # where two values cross, another choice is taken
            self._values = replace(
                graph,
                layers=(*before, replace(last, activation="identity")),
                action=(Signal("value"),) * last.outputs,
            )
            self.thresholds = tuple(f"choice {index}" for index in range(last.outputs))
        self.unsought = frozenset(self.thresholds)

    @property
    def _is_recurrent(self) -> bool:
        return any(name in CELLS for layer in self._graph.layers for name in layer.activations)

    def run(self, observations: Float32) -> Float32:
        if self.run_by == "torch":
            if self._is_recurrent:
                return run_torch_tick(read_blocks(self._path), self._graph, observations)
            return run_torch(self._graph, observations)
        return self._graph.forward(observations)

    def exact(self, observations: Float32) -> Float64:
        return self._graph.forward_exact(observations)

    def rounding(self, observations: Float32) -> Float64:
        return float32_rounding(self._graph, observations)

    def margins(self, observations: Float32) -> Float64:
        if self._values is None:
            return np.empty((len(observations), 0))
        return choice_margins(self._values.forward_exact(observations))


def run_torch_tick(blocks: list[Layer | Gru], tick: PolicyGraph, rows: Float32) -> Float32:
    """Run one tick of a recurrent student in torch's own cells, in float32; needs torch.

    blocks: as the file has them; tick: for its signals alone; rows: [count, observation and state].
    """
    import torch

    def row(values: Any) -> torch.Tensor:
        return torch.tensor(np.asarray(values, np.float32))

    units = [block.units for block in blocks if isinstance(block, Gru)]
    observed = tick.observation_size - sum(units)
    with torch.no_grad():
        given = (row(rows) - row(tick.observation_offset)) / row(tick.observation_scale)
        x, *states = torch.split(given, [observed, *units], dim=1)
        after: list[Any] = []
        for block in blocks:
            if isinstance(block, Gru):
                arrays = (block.weight_ih, block.weight_hh, block.bias_ih, block.bias_hh)
                x = torch.gru_cell(x, states[len(after)], *map(row, arrays))
                after.append(x)
            else:
                x = torch.nn.functional.linear(x, row(block.weight), row(block.bias))
                x = _torch_functions()[block.activation](x)
        actions = tick.action[: tick.action_size - sum(units)]
        x = x * row([s.scale for s in actions]) + row([s.offset for s in actions])
        low = row([-np.inf if s.low is None else s.low for s in actions])
        high = row([np.inf if s.high is None else s.high for s in actions])
        made: Float32 = torch.cat([torch.clamp(x, low, high), *after], dim=1).numpy()
    return made


def _torch_functions() -> dict[str, Any]:
    """Return torch's functions by the names of the activations."""
    import torch

    def argmax(x: Any) -> torch.Tensor:
        return torch.argmax(x, dim=-1, keepdim=True).float()

    return {
        "identity": lambda x: x,
        "relu": torch.relu,
        "leaky_relu": torch.nn.functional.leaky_relu,
        "elu": torch.nn.functional.elu,
        "silu": torch.nn.functional.silu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "argmax": argmax,
    }


def run_torch(graph: PolicyGraph, observations: Float32) -> Float32:
    """Run the graph as it stands in torch, in float32; needs torch."""
    import torch

    functions = _torch_functions()

    def row(values: Any) -> torch.Tensor:
        return torch.tensor(np.asarray(values, np.float32))

    with torch.no_grad():
        x = (row(observations) - row(graph.observation_offset)) / row(graph.observation_scale)
        for layer in graph.layers:
            if layer.convolution is not None:
                beyond = torch.nn.functional.pad(x, (0, 1))  # index -1: past the image's edge, 0
                x = beyond[:, torch.from_numpy(layer.convolution.index)]
            linear = torch.nn.functional.linear(x, row(layer.weight), row(layer.bias))
            parts = torch.split(linear.flatten(1), [part.neurons for part in layer.parts], dim=1)
            each = zip(layer.activations, parts, strict=True)
            x = torch.cat([functions[activation](part) for activation, part in each], dim=1)
        x = x * row([s.scale for s in graph.action]) + row([s.offset for s in graph.action])
        low = row([-np.inf if s.low is None else s.low for s in graph.action])
        high = row([np.inf if s.high is None else s.high for s in graph.action])
        actions: Float32 = torch.clamp(x, low, high).numpy()
    return actions
