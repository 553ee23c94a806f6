"""Policies for any rig on boards that compute floats in software: fixed point, calibrated in
simulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from sparsectl.firmware_host.boards import find_board
from sparsectl.plants.drawing import draw_table
from sparsectl.plants.rig import Rig, parse_rig

if TYPE_CHECKING:
    from sparsectl.policy.graph import PolicyGraph

ENCODING: Final = "dense-int16"
"""The fastest encoding of these policies on such cores that keeps within the errors that an export
allows; int8 is further from the policy than that."""

ERROR: Final = 0.05
"""Greatest difference from the floats over sequences that is allowed, as a share of the duty's
range; as much as an export in int8 may have. The state hands on what each tick rounds, so that of
6,000 ticks the worst differs by 0.001 to 0.011 on 16 rigs: with the usual 0.005 one rig in eight
would have no policy."""

FLOATS_IN_HARDWARE: Final = ("cortex-m4f", "cortex-m7", "rv32imafc")

UNITS: Final = 48
"""Number of rigs that the calibration drives, one episode each."""

TICKS: Final = 500
FIRST_RIG: Final = 350_000_000
"""Number of the first drawn rig: benchmarks measure on others."""


def in_fixed_point(board: str) -> bool:
    """Return whether a policy for any rig is written in fixed point for a board of this name.

    Its thousands of products take longer than a tick on an 8-bit core that computes floats in
    software: 54 ms of a 20 ms tick.

    Raises:
        UserError: there is no such board.
    """
    found = find_board(board)
    return found.clock_hz is not None and found.core.name not in FLOATS_IN_HARDWARE


def write_calibration(path: Path, graph: PolicyGraph, rigs: list[Rig]) -> None:
    """Write what a policy meets while it drives: observations, and where episodes end, as `collect`
    writes them.

    Args:
        path: of the .npz.
        graph: the policy of one rig.
        rigs: one an episode, with the counts and the period of that rig.
    """
    from sparsectl.plants.side_by_side import PendulumEpisodes

    episodes = PendulumEpisodes(rigs, list(range(len(rigs))), steps=TICKS)
    state = graph.initial_state(len(rigs))
    met: list[list[np.ndarray]] = [[] for _ in rigs]
    for _ in range(TICKS):
        running = ~episodes.is_over
        observed = episodes.observations[:, -graph.observation_size :]
        for each in np.flatnonzero(running):
            met[each].append(observed[each])
        duty, state = graph.step(state, observed)
        episodes.step(duty[:, 0].astype(np.float64))
    ends = np.concatenate([np.arange(1, len(rows) + 1) == len(rows) for rows in met])
    np.savez(path, observations=np.concatenate(met), terminations=ends)


def units_of(rig: Rig, family: str | None) -> list[Rig]:
    """Return the rigs that calibrate a policy of one rig: units of it, and, for a policy of a
    family, half of them drawn from the family with what a board knows of this one, since the file
    may not give its masses."""
    drawn = [] if family is None else list(_drawn(rig, family, UNITS // 2))
    return [*drawn, *[rig] * (UNITS - len(drawn))]


def _drawn(rig: Rig, family: str, count: int) -> Iterator[Rig]:
    for number in range(FIRST_RIG, FIRST_RIG + count):
        table = draw_table(family, number)
        base = table["base"]
        table |= {"period_s": rig.period_s, "frames": rig.frames}
        base |= {"unit_per_count": rig.base.unit_per_count, "limit": rig.base.limit}
        if rig.is_rotary:
            base["length_m"] = rig.base.length_m
        drawn = parse_rig(table, Path(f"{family}_{number}.toml"))
        pole = replace(drawn.pole, counts_per_turn=rig.pole.counts_per_turn)
        yield replace(drawn, pole=pole, start=rig.start)
