"""Measure a policy on a board or bare core: cycles, flash, RAM, stack, error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.scratch import scratch_folder
from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.config import BenchConfig
from sparsectl.firmware_host.cores import CORES, Core, Measurement
from sparsectl.firmware_host.cores.core import Float32
from sparsectl.firmware_host.cores.measured_inputs import measured_inputs
from sparsectl.firmware_host.policy_folder import read_golden_vectors, read_policy_facts
from sparsectl.policy.folder import GoldenVectors, PolicyFacts


@dataclass(frozen=True)
class Target:
    """The target of a measurement: a core, with a board's clock and limits or its own."""

    name: str
    core: Core
    clock_hz: int | None
    flash_bytes: int | None
    ram_bytes: int | None


def find_target(name: str) -> Target:
    """Return the bare core or the board called `name`.

    Raises:
        UserError: there is none; the message lists the existing ones.
    """
    if name in CORES:
        core = CORES[name]
        return Target(name, core, core.clock_hz, core.flash_bytes, core.ram_bytes)
    if name in BOARDS:
        board = BOARDS[name]
        return Target(name, board.core, board.clock_hz, board.flash_bytes, board.ram_bytes)
    known = ", ".join(dict.fromkeys((*CORES, *BOARDS)))
    raise UserError(f"no board {name!r}; known: {known}")


Exact = Callable[[Float32], NDArray[np.float64]]
"""Maps observations [count, observation_size] to the model's actions in float64."""


def bench(config: BenchConfig, exact: Exact | None = None) -> dict[str, Any]:
    """Compile the policy in the folder `config.policy` for the board's core and measure it.

    The error is measured against `exact` if that is given, else against the golden vectors.

    Returns:
        board, encoding; cycles (of a typical call: the median of the golden vectors), cycles_least
        and cycles_worst over all observations, constant_time, cycles_kind (exact or modelled),
        instructions (typical), flash_bytes and flash (by section: code, tables, data), ram_bytes
        (static), stack_bytes, activation_share, max_abs_error (for the golden vectors'
        observations; None of a policy that only chooses), other_choices (of one that chooses: the
        share of the golden vectors with another choice, in any of its actions; else None),
        bit_exact (does each golden vector come out in every bit?), clock_hz, microseconds (typical;
        on the host of the fastest call), median_microseconds, observations, digest, kept_weights,
        note; and of a policy of several tasks how many, since a call computes them all. None where
        the core cannot tell. Flash and RAM are over a firmware with an empty policy.

    Raises:
        UserError: unknown board, no compiler or emulator, policy files missing or foreign, actions
            that are not finite, or over a limit.
    """
    target = find_target(config.board)
    policy = read_policy_facts(config.policy)
    golden = read_golden_vectors(config.policy)
    if config.runs < 1:
        raise UserError(f"runs is {config.runs}; time at least one call")
    observations = measured_inputs(golden.observations)
    with scratch_folder("bench") as scratch:
        found = target.core.measure(config.policy, scratch, observations, config.runs)
    result = {"board": target.name, "encoding": policy.encoding}
    result |= _time(target, found, len(golden.actions)) | _memory(found)
    result |= _error(config.policy, policy, found, golden, exact) | _identity(policy, found)
    check_limits(config, result, target)
    return result


def _time(target: Target, found: Measurement, golden: int) -> dict[str, Any]:
    cycles = None if found.cycles is None else median_low(found.cycles[:golden])
    instructions = None if found.instructions is None else median_low(found.instructions[:golden])
    microseconds = found.microseconds
    if cycles is not None and target.clock_hz is not None:
        microseconds = cycles / target.clock_hz * 1e6
    counts = found.cycles or (found.instructions if len(found.instructions or ()) > 1 else None)
    return {
        "cycles": cycles,
        "cycles_kind": found.cycles_kind,
        "cycles_least": min(found.cycles) if found.cycles else None,
        "cycles_worst": max(found.cycles) if found.cycles else None,
        "instructions": instructions,
        "instructions_worst": max(found.instructions) if found.instructions else None,
        "constant_time": None if counts is None else min(counts) == max(counts),
        "clock_hz": target.clock_hz,
        "microseconds": microseconds,
        "median_microseconds": found.median_microseconds,
        "activation_share": found.activation_share,
    }


def _memory(found: Measurement) -> dict[str, Any]:
    return {
        "flash_bytes": sum(found.flash.values()),
        "flash": found.flash,
        "ram_bytes": found.ram_bytes,
        "stack_bytes": found.stack_bytes,
    }


def _error(
    policy: Path,
    facts: PolicyFacts,
    found: Measurement,
    golden: GoldenVectors,
    exact: Exact | None,
) -> dict[str, Any]:
    count = min(len(golden.actions), len(found.actions))
    given, wanted = found.actions[:count], golden.actions[:count]
    if not np.isfinite(found.actions).all():
        raise UserError(f"{policy} gives actions that are not finite; export it again")
    meant = exact(golden.observations[:count]) if exact else wanted.astype(np.float64)
    difference = np.abs(given.astype(np.float64) - meant)
    chosen = facts.chosen
    others = (difference[:, chosen] != 0).any(axis=1)  # of indices a difference says nothing
    rest = np.delete(difference, chosen, axis=1)
    return {
        "max_abs_error": float(rest.max()) if rest.size else None,
        "other_choices": float(others.mean()) if chosen else None,
        "bit_exact": bool((given.view(np.uint32) == wanted.view(np.uint32)).all()),
        "golden_vectors": count,
        "observations": len(found.actions),
    }


def _identity(policy: PolicyFacts, found: Measurement) -> dict[str, Any]:
    tasks = {"tasks": policy.tasks} if policy.tasks else {}
    return {
        "digest": policy.digest,
        "kept_weights": policy.kept_weights,
        **tasks,
        "note": found.note,
    }


def check_limits(config: BenchConfig, result: dict[str, Any], target: Target) -> None:
    """Compare the measurement with the given limits and with the board's memory.

    Raises:
        UserError: a limit is exceeded, or the board cannot measure what it applies to.
    """
    for name, limit, value, unit in _limits(config, result):
        if limit is None:
            continue
        if value is None:
            raise UserError(f"--{name} {limit}: board {config.board} cannot tell; use another")
        if not value <= limit:
            raise UserError(
                f"{config.policy} takes {value:g} {unit} on {config.board}, over --{name} "
                f"{limit:g}; keep fewer weights or choose another encoding"
            )
    taken = {"flash_bytes": result["flash_bytes"], "ram_bytes": ram_with_stack(result)}
    for name, value in taken.items():
        there = getattr(target, name)
        if there is not None and value > there:
            raise UserError(
                f"{config.policy} takes {value} bytes of {name.split('_')[0]}, {target.name} has "
                f"{there}; keep fewer weights or choose another encoding"
            )


def _limits(
    config: BenchConfig, result: dict[str, Any]
) -> list[tuple[str, float | None, float | None, str]]:
    return [
        ("flash", config.flash, result["flash_bytes"], "bytes"),
        ("ram", config.ram, ram_with_stack(result), "bytes"),
        ("cycles", config.cycles, result["cycles_worst"], "cycles"),
        ("error", config.error, *how_far(result)),
    ]


def how_far(result: dict[str, Any]) -> tuple[float, str]:
    """Return the error and its unit."""
    error, others = result["max_abs_error"], result["other_choices"]
    if others is None or (error is not None and error > others):
        return float(error), "of the action"
    return float(others), "of the golden vectors with another choice"


def ram_with_stack(result: dict[str, Any]) -> int:
    """Return static RAM and the deepest stack in a result of `bench`, in bytes."""
    return int(result["ram_bytes"]) + int(result["stack_bytes"] or 0)
