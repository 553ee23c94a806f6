"""Measure encodings on a board: export and run each of them there, and choose the best fit."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from sparsectl.command_line.config import ChooseConfig
from sparsectl.command_line.terminal import print_table
from sparsectl.commands.choosing.benches import Benches
from sparsectl.commands.choosing.choice import Candidate, Choice, nothing_fits
from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.common.scratch import scratch_folder
from sparsectl.export.config import ExportConfig
from sparsectl.export.encodings.registry import (
    AUTO,
    CONVOLVING,
    ENCODINGS,
    FOR_CONVOLUTIONS_AND_STATES,
)
from sparsectl.export.inputs import UnknownInputs
from sparsectl.export.memory import MemoryNeed
from sparsectl.export.naming import DEFAULT
from sparsectl.export.pipeline import export_policy, read_model
from sparsectl.export.shared import Shared
from sparsectl.firmware_host.bench import Target, how_far, ram_with_stack
from sparsectl.firmware_host.compiler import compiler_in_words
from sparsectl.firmware_host.cores.host import HOST
from sparsectl.firmware_host.cores.host_measuring import memory
from sparsectl.firmware_host.cores.measured_inputs import measured_inputs
from sparsectl.policy.folder import GoldenVectors

LIMITS: Final = ("flash", "ram", "cycles", "error")
CANDIDATE_OBSERVATIONS: Final = 2000
_LOOSE: Final = 10.0
"""A limit of the error that every candidate meets: inexact candidates are shown, not refused."""


def export_config(config: ChooseConfig) -> ExportConfig:
    """Return the settings of the export itself."""
    return ExportConfig(**{f.name: getattr(config, f.name) for f in fields(ExportConfig)})


def check_limits(config: ChooseConfig) -> dict[str, float]:
    """Return the given limits.

    Raises:
        UserError: a limit is not a number above 0.
    """
    limits = {name: getattr(config, name) for name in LIMITS if getattr(config, name) is not None}
    for name, value in limits.items():
        if not 0 < value < float("inf"):
            raise UserError(f"--{name} is {value}; give a number over 0")
    return limits


def check_encoding(encoding: str) -> None:
    """Check that there is an encoding of that name.

    Raises:
        UserError: there is none.
    """
    if encoding != AUTO and encoding not in ENCODINGS:
        raise UserError(f"encoding {encoding!r} is not known; use {AUTO}, {', '.join(ENCODINGS)}")


def candidates(
    encoding: str, core: str, convolves: bool = False, keeps_state: bool = False
) -> list[str]:
    """Return the encodings to measure for a core: the requested one, or all that suit it.

    convolves, keeps_state: whether the policy does; some encodings take no convolutions, and some
        are for such policies alone.

    Raises:
        UserError: no encoding of that name.
    """
    if encoding != AUTO:
        check_encoding(encoding)
        return [encoding]
    plain = ENCODINGS.keys() if keeps_state else ENCODINGS.keys() - FOR_CONVOLUTIONS_AND_STATES
    offered = CONVOLVING if convolves else plain
    serving = (n for n, e in ENCODINGS.items() if e.cores is None or core in e.cores)
    return [name for name in serving if name in offered]


def measured_choice(
    config: ChooseConfig,
    target: Target,
    scratch: Path,
    benches: Benches,
    shared: Shared,
    while_measuring: Callable[[], None] = lambda: None,
) -> tuple[Choice, Path]:
    """Measure the candidates, print the table, and return the choice and the best one's folder in
    `scratch`. `while_measuring` is called once, while this waits for compilers and emulators.

    Raises:
        UserError: no candidate fits, or the model cannot be read.
    """
    graph = read_model(config)  # refused here once, not for each encoding
    convolves, keeps_state = graph.has_convolutions, bool(graph.state_size)
    names = candidates(config.encoding, target.core.name, convolves, keeps_state)
    measured = measure_all(config, target, names, scratch, benches, shared, while_measuring)
    choice = confirmed(config, measured, scratch, shared)
    print_table(choice.table(), file=sys.stderr)  # stdout is the result's
    if choice.best is None:
        raise UserError(nothing_fits(choice))
    return choice, scratch / choice.best.encoding


def measure_all(
    config: ChooseConfig,
    target: Target,
    names: Sequence[str],
    scratch: Path,
    benches: Benches,
    shared: Shared,
    while_measuring: Callable[[], None],
) -> Choice:
    """Export with each encoding into a folder of its name in `scratch`, and measure the results
    meanwhile. `while_measuring` is called when all that is left is to wait for them."""
    found: dict[str, Candidate] = {}
    measured: dict[str, tuple[dict[str, Any], Future[dict[str, Any]]]] = {}
    desc = f"measure on {target.name}"
    with Progress(total=len(names), desc=desc, unit="encoding", leave=False) as bar:
        for name in sorted(names, key=_compiles_fast):
            bar.set_postfix_str(name)
            try:
                wanted = _wanted(config, name, scratch / name)
                exported = export_policy(wanted, runs_c=False, shared=shared)
                measured[name] = exported, benches.start(scratch / name, target.name, runs=500)
            except UserError as error:
                found[name] = _unmeasured(name, error, scratch / name)
            ended = sum(future.done() for _, future in measured.values())
            bar.update(len(found) + ended - bar.n)
        while_measuring()
        for future in as_completed(future for _, future in measured.values()):
            left = [name for name, (_, other) in measured.items() if not other.done()]
            bar.set_postfix_str(", ".join(left), refresh=False)
            ended = sum(future.done() for _, future in measured.values())
            bar.update(len(found) + ended - bar.n)
    unit = "cycles"
    for name, (exported, future) in measured.items():
        try:
            result = future.result()
        except UserError as error:
            found[name] = _unmeasured(name, error, scratch / name)
            continue
        unit = clock_of(result)[0]
        found[name] = _measured(name, exported, result)
    limits = _limits(config, target)
    return Choice(target.name, unit, limits, tuple(found[name] for name in names))


def _compiles_fast(name: str) -> tuple[bool, bool]:
    """Return a key that sorts the encodings whose code takes the compiler longest to the front, so
    that it works beside all others: code without loops, in fixed point before float32."""
    return not name.startswith("straight"), name.endswith("float32")


def confirmed(config: ChooseConfig, choice: Choice, scratch: Path, shared: Shared) -> Choice:
    """Return the choice after its best has been verified on all the observations that the export
    will be judged by; the candidates met fewer. If that puts it over a limit, the next candidate is
    verified."""
    seen: set[str] = set()
    while choice.best is not None and choice.best.encoding not in seen:
        best = choice.best
        seen.add(best.encoding)
        if config.observations > CANDIDATE_OBSERVATIONS:
            wanted = _wanted(config, best.encoding, scratch / best.encoding)
            wanted = replace(wanted, observations=config.observations)
            choice = choice.with_candidate(_verified(best, wanted, shared))
    return choice


def _verified(candidate: Candidate, wanted: ExportConfig, shared: Shared) -> Candidate:
    try:
        exported = export_policy(wanted, runs_c=False, shared=shared)
    except UserError as error:
        reason = str(error).replace(str(wanted.out), "the policy")
        return Candidate(candidate.encoding, reason=reason)
    return replace(candidate, error=exported["max_error_share"])


def verify_on(folder: Path, boards: Sequence[str], benches: Benches) -> dict[str, Any]:
    """Run `bench` on the exported folder for each board, and check that all compute what the host
    does.

    Raises:
        UserError: one does not; or what `bench` raises.
    """
    started = [benches.start(folder, board) for board in boards]
    results = {board: future.result() for board, future in zip(boards, started, strict=True)}
    for board, result in results.items():
        if not result["bit_exact"]:
            error, of_what = how_far(result)
            raise UserError(
                f"{board} computes different bits from the reference (an error of {error:.3g} "
                f"{of_what}); "
                "this is a defect, choose another encoding"
            )
    return results


def _measured(name: str, exported: dict[str, Any], result: dict[str, Any]) -> Candidate:
    if not result["bit_exact"]:
        return Candidate(name, reason="it computes different bits there from the reference")
    return Candidate(
        name,
        exported["kind"],
        clock_of(result)[1],
        result["flash_bytes"],
        ram_with_stack(result),
        exported["max_error_share"],
    )


def _unmeasured(name: str, error: UserError, folder: Path) -> Candidate:
    reason = str(error).replace(str(folder), "the policy")
    return Candidate(name, reason=reason, needs_ranges=isinstance(error, UnknownInputs))


def _wanted(config: ChooseConfig, encoding: str, folder: Path) -> ExportConfig:
    """Return the settings of a candidate's export."""
    return replace(
        export_config(config),
        out=folder,
        encoding=encoding,
        package="plain",
        prefix=DEFAULT,
        error=None if config.error is None else max(config.error, _LOOSE),
        observations=min(config.observations, CANDIDATE_OBSERVATIONS),
    )


def need_of(target: Target, measured: dict[str, Any]) -> MemoryNeed:
    """Return what policy.h says about a board's memory, from a result of `bench`."""
    return MemoryNeed(
        target.name,
        compiler_in_words(target.core),
        measured["stack_bytes"],
        measured["ram_bytes"],
        measured["flash_bytes"],
        measured["observations"],
    )


def need_of_host(folder: Path, golden: GoldenVectors) -> list[MemoryNeed]:
    """Return the same for this machine, for an export without a board; the C is in `folder`."""
    calls = measured_inputs(golden.observations)
    with scratch_folder("memory") as scratch:
        taken = memory(HOST, folder, scratch, calls, golden.sequence_length)
    compiler = f"{platform.machine()}, {compiler_in_words(HOST)}"
    return [MemoryNeed("this computer", compiler, **taken, calls=len(calls), is_target=False)]


def clock_of(measured: dict[str, Any]) -> tuple[str, float]:
    """Return the best measure of time that the board has: cycles, else instructions, else
    microseconds."""
    if measured["cycles_worst"] is not None:
        return "cycles", float(measured["cycles_worst"])
    if measured["microseconds"] is None:
        return "instructions", float(measured["instructions_worst"])
    return "microseconds", float(measured["microseconds"])


def _limits(config: ChooseConfig, target: Target) -> dict[str, float]:
    """Return the given limits, and the board's own memory if that is less."""
    given = {name: getattr(config, name) for name in LIMITS}
    for name, there in (("flash", target.flash_bytes), ("ram", target.ram_bytes)):
        if there is not None:
            given[name] = there if given[name] is None else min(given[name], there)
    return {name: float(limit) for name, limit in given.items() if limit is not None}
