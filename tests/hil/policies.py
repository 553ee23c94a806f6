"""Policies for trials: one that hardly moves, and one that balances on a rig that is easy.

`easy_rig.toml` is the cart-pole with a strong motor and little friction. `easy_policy.onnx` was
cloned from a hand-written swing-up and balance controller on it, then pruned by magnitude.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.plants.rig import load_rig
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.onnx_file.writer import write_onnx
from sparsectl.policy.passes import fold_normaliser
from sparsectl.policy.recurrent import Gru, recurrent_policy
from sparsectl.policy.signals import parse_signals

HERE = Path(__file__).parent
EASY_RIG = HERE / "easy_rig.toml"
SWITCHED_RIG = HERE / "switched_rig.toml"
EASY_POLICY = HERE / "easy_policy.onnx"
RIG = "sensorsini_cartpole"
BANG_BANG = "sensorsini_bang_bang"


def timid_graph(seed: int = 0, **changes: Any) -> PolicyGraph:
    """25-6-1 for the cart-pole, with weights so small that the motor hardly turns."""
    random = np.random.default_rng(seed)
    signals = load_rig(RIG).signals()
    hidden = random.normal(0, 0.1, (6, 25)) * (random.random((6, 25)) < 0.4)
    layers = (
        Layer(hidden.astype(np.float32), np.full(6, 0.1, np.float32), "relu"),
        Layer(random.normal(0, 0.02, (1, 6)).astype(np.float32), np.zeros(1, np.float32), "tanh"),
    )
    fields = {
        "layers": layers,
        "observation": tuple(Signal(**signal) for signal in signals["observation"]),
        "action": tuple(Signal(**signal) for signal in signals["action"]),
        "frames": 5,
        "period_s": 0.02,
        "rig": RIG,
    }
    return fold_normaliser(PolicyGraph(**{**fields, **changes}))


def remembering_graph(seed: int = 0, units: int = 4, **changes: Any) -> PolicyGraph:
    """5-GRU-1 for the cart-pole: its state depends on all that was, its motor hardly turns."""
    random = np.random.default_rng(seed)
    signals = parse_signals(load_rig(RIG).signals(), RIG)

    def weights(*shape: int) -> NDArray[np.float32]:
        return random.normal(0, 0.7, shape).astype(np.float32)

    cell = Gru(
        weights(3 * units, 5),
        weights(3 * units, units),
        weights(3 * units),
        weights(3 * units),
        reset_state=random.uniform(-0.5, 0.5, units),
    )
    last = Layer(0.03 * weights(1, units), np.zeros(1, np.float32), "tanh")
    fields = {"frames": 1, "period_s": 0.02, "rig": RIG}
    return fold_normaliser(
        recurrent_policy([cell, last], signals.observation, signals.action, **fields | changes)
    )


def choosing_graph(**changes: Any) -> PolicyGraph:
    """25-3 for the cart-pole that is driven bang-bang: to and fro about a hundredth of the limit,
    right of which it chooses left, left of it right, and off between the two."""
    signals = load_rig(BANG_BANG).signals()
    weight = np.zeros((3, 25), np.float32)
    weight[:, 20] = 1, 0, -1  # the newest position
    bias = np.array([0.0, 0.012, 0.02], np.float32)
    fields = {
        "layers": (Layer(weight, bias, "argmax"),),
        "observation": tuple(Signal(**signal) for signal in signals["observation"]),
        "action": parse_signals(signals, BANG_BANG).action,
        "frames": 5,
        "period_s": 0.02,
        "rig": BANG_BANG,
    }
    return fold_normaliser(PolicyGraph(**{**fields, **changes}))


def remembering_chooser(**changes: Any) -> PolicyGraph:
    """5-GRU-3 for the cart-pole that is driven bang-bang: as `choosing_graph`, by a position of
    which an eighth is that of the ticks before."""
    signals = parse_signals(load_rig(BANG_BANG).signals(), BANG_BANG)
    weight = np.zeros((3, 5), np.float32)
    weight[2, 0] = 5.0
    cell = Gru(
        weight,
        np.zeros((3, 1), np.float32),
        np.array([0.0, -2.0, 0.0], np.float32),
        np.zeros(3, np.float32),
    )
    bias = np.array([0, 0.06, 0.1], np.float32)
    last = Layer(np.array([[1], [0], [-1]], np.float32), bias, "argmax")
    fields = {"frames": 1, "period_s": 0.02, "rig": BANG_BANG}
    return fold_normaliser(
        recurrent_policy([cell, last], signals.observation, signals.action, **fields | changes)
    )


def export_graph(graph: PolicyGraph, folder: Path) -> Path:
    """Export a graph with all that a firmware needs."""
    folder.mkdir(parents=True)
    write_onnx(graph, folder / "source.onnx")
    return export_into(folder / "source.onnx", folder / "policy")


def export_into(model: Path, folder: Path) -> Path:
    export_policy(ExportConfig(model=model, out=folder, observations=100, vectors=4))
    return folder
