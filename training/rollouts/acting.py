"""Run a policy in several episodes side by side; a policy with a state has one state per
episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sparsectl.common.errors import UserError
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.load import load
from sparsectl.policy.onnx_file.ticks import CELLS
from sparsectl.policy.signals import parse_json_object
from sparsectl.policy.student import GRU
from sparsectl.training.nn.networks import ONNX_BYTES_LIMIT, Array


class RecurrentNetwork:
    """A recurrent policy's network; its actions are asked for through `States` alone."""

    def __init__(self, graph: PolicyGraph) -> None:
        self.graph = graph

    @property
    def observation_size(self) -> int:
        return self.graph.observation_size

    @property
    def action_size(self) -> int:
        return self.graph.action_size

    def __call__(self, observations: Array) -> Array:
        raise UserError(
            f"the policy keeps a state of {self.graph.state_size} values, and this takes policies "
            "whose action depends on the observation alone; give one of these, or stack frames"
        )


Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Observations [episodes, n] to actions [episodes, m], in the environment's units."""


@dataclass(frozen=True)
class Recurrent:
    """How a policy with a state acts."""

    tick: Callable[[Array], Array]
    """[count, observation and state] to [count, action and next state]."""
    start: Array
    """[state_size], the state that an episode begins with."""


class States:
    """The states of several episodes, from their first ticks on."""

    def __init__(self, recurrent: Recurrent, episodes: int) -> None:
        self._tick = recurrent.tick
        self._states = np.repeat(recurrent.start[None], episodes, axis=0)

    def act(self, observations: Array, live: NDArray[np.int64]) -> Array:
        """Actions [live, m] of the episodes `live`, whose observations are these [live, n]; their
        states move on."""
        given = np.concatenate([observations, self._states[live]], axis=1)
        size = self._states.shape[1]
        made = self._tick(np.asarray(given, np.float32))
        actions, self._states[live] = made[:, :-size], made[:, -size:]
        return actions


def alone(act: Act | Recurrent) -> Act:
    """Return a function that acts in one episode that begins now."""
    if not isinstance(act, Recurrent):
        return act
    states, first = States(act, 1), np.zeros(1, np.int64)
    return lambda observations: states.act(observations, first)


def recurrent_graph(path: Path) -> PolicyGraph | None:
    """Return the policy in a file if it keeps a state; None: the file is of another kind.

    Raises:
        UserError: what `policy.load.load` raises.
    """
    may_keep = {".onnx": _may_keep_onnx, ".safetensors": _may_keep_student}.get(path.suffix)
    if may_keep is None or not may_keep(path):
        return None
    graph = load(path)
    return graph if graph.state_size else None


def _may_keep_onnx(path: Path) -> bool:
    try:
        if path.stat().st_size > ONNX_BYTES_LIMIT:
            return False
        graph: Any = onnx.load(path, load_external_data=False).graph
    except Exception:  # what is no ONNX file, or too large, is refused by who reads it
        return False
    held = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in held]
    has_more = len(inputs) > 1 and len(graph.output) > 1
    return has_more or any(node.op_type in CELLS for node in graph.node)


def _may_keep_student(path: Path) -> bool:
    try:
        with safe_open(path, framework="np") as tensors:
            text = (tensors.metadata() or {}).get("sparsectl", "{}")
            names = parse_json_object(text, "its metadata").get("activations")
    except (SafetensorError, OSError, UserError):  # refused by who reads it
        return False
    return isinstance(names, list) and GRU in names
