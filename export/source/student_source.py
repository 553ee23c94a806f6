"""A student as a source: its network before any pass, in torch where that is installed."""

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
from sparsectl.policy.graph import PolicyGraph, Signal
from sparsectl.policy.rounding import float32_rounding


class StudentSource:
    """A student's network; see `export.source.source.Source`."""

    output: str | None = None
    unused_inputs: tuple[str, ...] = ()

    def __init__(self, path: Path, graph: PolicyGraph) -> None:
        """graph: as `policy.student.read_student` gives it."""
        self.file = path.name
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.data_sha256: dict[str, str] = {}
        self.run_by = "torch" if importlib.util.find_spec("torch") else "numpy"
        self.normaliser = Normaliser(graph.observation_offset, np.abs(graph.observation_scale))
        self._graph = graph
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

    def run(self, observations: Float32) -> Float32:
        if self.run_by == "torch":
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


def run_torch(graph: PolicyGraph, observations: Float32) -> Float32:
    """The graph as it stands in torch, float32; needs torch."""
    import torch

    def argmax(x: Any) -> torch.Tensor:
        return torch.argmax(x, dim=-1, keepdim=True).float()

    functions = {
        "identity": lambda x: x,
        "relu": torch.relu,
        "leaky_relu": torch.nn.functional.leaky_relu,
        "elu": torch.nn.functional.elu,
        "silu": torch.nn.functional.silu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "argmax": argmax,
    }

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
