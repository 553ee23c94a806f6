"""The students for any pendulum, driven on rigs in the simulator: what they meet, and the same
students as an encoding's C. For `recurrent.py` and `encoded_any_rig.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsectl.export.c_writer import c_files
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.encodings.registry import encode
from sparsectl.export.golden import golden_vectors
from sparsectl.export.host_c import RecurrentC, load_recurrent_c
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
    driven = drive(rigs, seeds, student, steps=ticks, labelled=False)
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
    """Drives rigs by the C of the student in an encoding: an `Actor`.

    Args:
        name: of the encoding.
        student: for any rig.
        rigs: each gets the student as its own policy.
        met: what the student meets on each.
        folder: where the C of each is compiled.
    """

    def __init__(
        self,
        name: str,
        student: Acting,
        rigs: Sequence[Rig],
        met: Sequence[Met],
        folder: Path,
    ) -> None:
        self._scales = np.stack([scales_of(rig) for rig in rigs])
        self._c = []
        for index, (rig, own) in enumerate(zip(rigs, met, strict=True)):
            policy = encoded(name, policy_for(student, rig), own)
            self._c.append(_compiled(policy, own, folder / str(index)))

    def reset(self, rigs: int) -> Array:
        """Return the state at the beginning, in the C's own form, [rigs, units]."""
        return np.stack([c.start for c in self._c])

    def step(self, inputs: Array, state: Array) -> tuple[Array, Array]:
        """Return duties [rigs] and the next state, for inputs [rigs, 9]."""
        observations = inputs[:, :SIGNALS] * self._scales
        given = np.concatenate([observations, state], axis=1).astype(np.float32)
        made = np.concatenate([c.ticks(row[None]) for c, row in zip(self._c, given, strict=True)])
        return made[:, 0], made[:, 1:]


def _compiled(policy: EncodedPolicy, met: Met, folder: Path) -> RecurrentC:
    folder.mkdir()
    golden = golden_vectors(policy, met.observations[:16])
    for name, text in c_files(policy, golden, "unknown").items():
        (folder / name).write_text(text)
    sizes = policy.graph.action_size, policy.graph.state_size
    return load_recurrent_c(folder, *sizes, folder)
