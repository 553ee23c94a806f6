"""The students for any pendulum, driven on rigs in the simulator: what they meet, and the same
students with the values of an encoding's C. For `recurrent.py` and `encoded_any_rig.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.encodings.registry import encode
from sparsectl.plants.rig import Rig
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.passes import simplify
from sparsectl.policy.sequences import run_sequence
from sparsectl.training.any_rig.acting import SIGNALS, Acting, Array, scales_of
from sparsectl.training.any_rig.deploy import policy_for
from sparsectl.training.any_rig.rollout import drive


@dataclass(frozen=True)
class Met:
    """What a student meets on one rig, from hanging at rest on."""

    observations: Array
    """[ticks, 5], in physical units."""
    terminations: NDArray[np.bool_]
    """[ticks]: True for the last tick of a run."""


def met_by(student: Acting, rigs: Sequence[Rig], seeds: Sequence[int], ticks: int) -> list[Met]:
    """Drive each rig; a run ends early where the base meets its limit."""
    driven = drive(rigs, seeds, student, steps=ticks)
    found = []
    for index, rig in enumerate(rigs):
        inputs = driven.inputs[driven.running[:, index], index, :SIGNALS]
        ends = np.arange(len(inputs)) == len(inputs) - 1
        found.append(Met((inputs * scales_of(rig)).astype(np.float32), ends))
    return found


def together(each: Sequence[Met]) -> Met:
    """Return runs after one another."""
    return Met(
        np.concatenate([one.observations for one in each]),
        np.concatenate([one.terminations for one in each]),
    )


def encoded(name: str, graph: PolicyGraph, met: Met) -> EncodedPolicy:
    """Return a recurrent policy in an encoding, calibrated by what it meets."""
    graph = simplify(graph)
    resets = np.roll(met.terminations, 1)
    run = run_sequence(graph.step_graph.forward, graph.initial_state(), met.observations, resets)
    rows = np.concatenate([met.observations, run.states], axis=1)
    return encode(name, graph, rows, are_met=True)


class Encoded:
    """Drives rigs by the student in an encoding: an `Actor` whose values are the C's, bit for bit.

    Args:
        name: of the encoding.
        student: for any rig.
        rigs: each gets the student as its own policy.
        met: what the student meets on each.
    """

    def __init__(self, name: str, student: Acting, rigs: Sequence[Rig], met: Sequence[Met]) -> None:
        self._scales = np.stack([scales_of(rig) for rig in rigs])
        self._policies = [
            encoded(name, policy_for(student, rig), own) for rig, own in zip(rigs, met, strict=True)
        ]

    def reset(self, rigs: int) -> Array:
        """Return the state at the beginning, [rigs, units]."""
        return np.stack([policy.graph.initial_state() for policy in self._policies])

    def step(self, inputs: Array, state: Array) -> tuple[Array, Array]:
        """Return duties [rigs] and the next state, for inputs [rigs, 9]."""
        observations = inputs[:, :SIGNALS] * self._scales
        given = np.concatenate([observations, state], axis=1).astype(np.float32)
        made = np.stack(
            [policy.forward(row) for policy, row in zip(self._policies, given, strict=True)]
        )
        return made[:, 0], made[:, 1:]
