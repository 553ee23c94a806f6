"""`sparsectl export`: with a board named, the encoding is chosen by measuring all that serve it."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from sparsectl.commands.bench import on_board
from sparsectl.commands.choice import Candidate, Choice, nothing_fits
from sparsectl.commands.closed_loop import closed_loop
from sparsectl.commands.config import ChooseConfig
from sparsectl.commands.terminal import print_table
from sparsectl.common.errors import UserError
from sparsectl.common.files import write_json
from sparsectl.common.interruption import signals_held_back
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance
from sparsectl.export.config import ExportConfig
from sparsectl.export.encodings.registry import AUTO, ENCODINGS
from sparsectl.export.inputs import UnknownInputs
from sparsectl.export.naming import DEFAULT, check_prefix
from sparsectl.export.onnx_reader import read_onnx
from sparsectl.export.packaging.registry import arrange, find_package
from sparsectl.export.pipeline import POLICY_ONNX, export_policy, read_model
from sparsectl.export.policy_json import seal_again
from sparsectl.firmware_host.bench import Target, find_target, ram_with_stack
from sparsectl.firmware_host.config import BenchConfig

CHOICE_JSON: Final = "choice.json"
CHOICE_SVG: Final = "choice.svg"
LIMITS: Final = ("flash", "ram", "cycles", "error")
CANDIDATE_OBSERVATIONS: Final = 2000
_LOOSE: Final = 10.0
"""An error that every candidate keeps to: what is too inexact is shown, not refused."""


def export(config: ChooseConfig) -> dict[str, Any]:
    """Export; on the first board named choose the encoding, on all of them verify.

    Returns:
        What `export.pipeline.export_policy` does; with boards also choice (what was measured),
        boards (`bench` on each), verified and, with episodes, closed_loop.

    Raises:
        UserError: limits without a board; nothing fits; a board gives other bits than the
            reference; and what `export_policy` and `bench` raise.
    """
    find_package(config.package)
    check_prefix(config.prefix)
    targets = [find_target(name) for name in config.board]
    limits = {name: getattr(config, name) for name in LIMITS if getattr(config, name) is not None}
    for name, value in limits.items():
        if not 0 < value < float("inf"):
            raise UserError(f"--{name} is {value}; give a number over 0")
    if not targets and limits.keys() - {"error"}:
        raise UserError("limits are measured on a board: name one, such as --board cortex-m4f")
    plain = export_config(config)
    if targets or config.episodes:  # what measures takes the plain folder
        plain = replace(plain, package="plain", prefix=DEFAULT)
    if targets:
        # A file that is none is told once, not for each encoding.
        read_model(config.model, config.output)
        choice, boards = choose(config, targets)
        assert choice.best is not None
        result = export_policy(replace(plain, encoding=choice.best.encoding))
        result |= _write_choice(choice, config.out) | {"boards": boards}
        result["verified"] = {name: _proof(found) for name, found in boards.items()}
    else:
        result = export_policy(plain)
    if config.episodes:
        result["closed_loop"] = closed_loop(config.out, config.episodes, config.seed)
    if (plain.package, plain.prefix) != (config.package, config.prefix):
        graph = read_onnx(config.out / POLICY_ONNX)
        with signals_held_back():
            sealed = [*arrange(config.package, graph, config.out, config.prefix)]
            sealed.append(config.out / POLICY_ONNX)
            sealed.append(seal_again(config.out, sealed, config.prefix))
        result["files"] = [str(path) for path in sorted(sealed)]
    return result


def choose(config: ChooseConfig, targets: list[Target]) -> tuple[Choice, dict[str, Any]]:
    """Measure the candidates on the first board, and the best of them on all.

    Raises:
        UserError: nothing fits; a board gives other bits than the reference.
    """
    with tempfile.TemporaryDirectory(prefix="sparsectl-choose-") as scratch:
        choice = measure_all(config, targets[0], Path(scratch))
        print_table(choice.table(), file=sys.stderr)  # stdout is the result's
        if choice.best is None:
            raise UserError(nothing_fits(choice))
        folder = Path(scratch) / choice.best.encoding
        return choice, {target.name: verify_on(folder, target.name) for target in targets}


def export_config(config: ChooseConfig) -> ExportConfig:
    """The part of it that export itself takes."""
    return ExportConfig(**{f.name: getattr(config, f.name) for f in fields(ExportConfig)})


def candidates(encoding: str, core: str) -> list[str]:
    """The encodings to measure for a core: the one asked for, or all that serve it.

    Raises:
        UserError: no encoding of that name.
    """
    if encoding != AUTO:
        if encoding not in ENCODINGS:
            raise UserError(
                f"encoding {encoding!r} is not known; use {AUTO}, {', '.join(ENCODINGS)}"
            )
        return [encoding]
    return [n for n, e in ENCODINGS.items() if e.cores is None or core in e.cores]


def measure_all(config: ChooseConfig, target: Target, scratch: Path) -> Choice:
    """Export with each encoding into a folder of its name in `scratch`, and measure it."""
    names = candidates(config.encoding, target.core.name)
    found, unit = [], "cycles"
    bar = Progress(names, desc=f"measure on {target.name}", unit="encoding", leave=False)
    for name in bar:
        bar.set_postfix_str(name)
        candidate, its_unit = _measure(config, target, name, scratch / name)
        found.append(candidate)
        unit = its_unit or unit
    return Choice(target.name, unit, _limits(config, target), tuple(found))


def verify_on(folder: Path, board: str) -> dict[str, Any]:
    """`bench` of the exported folder, and the proof that the board computes what the host does.

    Raises:
        UserError: it does not; and what `bench` raises.
    """
    result = on_board(BenchConfig(policy=folder, board=board))
    if not result["bit_exact"]:
        raise UserError(
            f"{board} gives other bits than the reference (an error of "
            f"{result['max_abs_error']:.3g} in all); take another encoding, this is a defect"
        )
    return result


def _proof(result: dict[str, Any]) -> str:
    unit, time = _time(result)
    return f"{result['golden_vectors']} golden vectors bit for bit, {time:,.6g} {unit} at worst"


def _measure(
    config: ChooseConfig, target: Target, name: str, folder: Path
) -> tuple[Candidate, str]:
    """The candidate and its unit of time; "" where it could not be measured."""
    wanted = replace(
        export_config(config),
        out=folder,
        encoding=name,
        package="plain",
        prefix=DEFAULT,
        error=None if config.error is None else max(config.error, _LOOSE),
        observations=min(config.observations, CANDIDATE_OBSERVATIONS),
    )
    try:
        exported = export_policy(wanted)
        measured = on_board(BenchConfig(policy=folder, board=target.name, runs=500))
    except UserError as error:
        reason = str(error).replace(str(folder), "the policy")
        return Candidate(name, reason=reason, needs_ranges=isinstance(error, UnknownInputs)), ""
    if not measured["bit_exact"]:
        return Candidate(name, reason="it gives other bits there than the reference"), ""
    unit, time = _time(measured)
    return Candidate(
        name,
        exported["kind"],
        time,
        measured["flash_bytes"],
        ram_with_stack(measured),
        exported["max_error_share"],
    ), unit


def _time(measured: dict[str, Any]) -> tuple[str, float]:
    """The best clock that the board has: cycles, else instructions, else microseconds."""
    if measured["cycles_worst"] is not None:
        return "cycles", float(measured["cycles_worst"])
    if measured["microseconds"] is None:
        return "instructions", float(measured["instructions_worst"])
    return "microseconds", float(measured["microseconds"])


def _limits(config: ChooseConfig, target: Target) -> dict[str, float]:
    """Those given, and the board's own memory where it is less."""
    given = {name: getattr(config, name) for name in LIMITS}
    for name, there in (("flash", target.flash_bytes), ("ram", target.ram_bytes)):
        if there is not None:
            given[name] = there if given[name] is None else min(given[name], there)
    return {name: float(limit) for name, limit in given.items() if limit is not None}


def _write_choice(choice: Choice, out: Path) -> dict[str, Any]:
    """choice.json and choice.svg beside the policy."""
    from sparsectl.commands.choice_plot import (
        draw_choice,  # matplotlib, which other exports do not need
    )

    summary = choice.summary()
    write_json(out / CHOICE_JSON, summary | {"provenance": provenance()})
    draw_choice(choice, out / CHOICE_SVG)
    return {"choice": summary}
