"""`sparsectl bench`: measure a policy's folder or a model on one board or on every core."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sparsectl.command_line.config import ChooseConfig
from sparsectl.command_line.terminal import print_table
from sparsectl.commands.choosing.benches import Benches, on_board
from sparsectl.commands.choosing.measuring import (
    check_encoding,
    check_limits,
    measured_choice,
)
from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.common.ranges import check_counts, check_numbers
from sparsectl.common.scratch import scratch_folder
from sparsectl.export.config import ExportConfig
from sparsectl.export.encodings.registry import AUTO
from sparsectl.export.naming import DEFAULT
from sparsectl.export.pipeline import export_policy
from sparsectl.export.policy_json import prefix_of
from sparsectl.export.shared import Shared
from sparsectl.firmware_host.bench import Target, find_target
from sparsectl.firmware_host.config import BenchConfig
from sparsectl.firmware_host.cores import CORES
from sparsectl.policy.load import POLICY_ONNX

ALL = "all"
POLICY_SOURCE = "policy.c"
MOST_RUNS: Final = 1_000_000


def bench(config: BenchConfig) -> dict[str, Any]:
    """Measure a policy; a model is first exported into a temporary folder.

    Without an encoding, a model is measured in the one that `export --board` would choose for the
    board and the limits; for board "all", in the one that `export` uses without a board.

    Returns:
        What `firmware_host.bench.bench` returns, with the error against the model in float64 on the
            golden vectors' observations; and `choice` if the encoding was chosen. For board "all":
            `cores`, with one such result or a reason each, and a table.

    Raises:
        UserError: a golden vector differs in a bit; and what `export` and
            `firmware_host.bench.bench` raise.
    """
    check_bench(config)
    if config.board == ALL:
        with policy_folder(config) as folder:
            return _on_all(config, folder)
    target = find_target(config.board)
    if config.encoding == AUTO and not _holds_c(config):
        result = _as_export_chooses(config, target)
    else:
        with policy_folder(config) as folder:
            result = on_board(replace(config, policy=folder)) | {"policy": str(config.policy)}
    if not result["bit_exact"]:
        raise UserError(_not_exact(config.policy, [config.board]))
    return result


def check_bench(config: BenchConfig) -> None:
    """Check the settings that do not need the policy.

    Raises:
        UserError: a setting is out of its range, or there is no such board or encoding.
    """
    check_counts(config, 1, "runs", most=MOST_RUNS)
    check_numbers(config, "flash", "ram", "cycles", "error", least=0, most=1e300)
    check_encoding(config.encoding)
    if config.board != ALL:
        find_target(config.board)


def _as_export_chooses(config: BenchConfig, target: Target) -> dict[str, Any]:
    """Measure a model in the encoding that `export --board` with the same limits would write."""
    asked = ChooseConfig(
        config.policy,
        **_of_export(config),
        flash=config.flash,
        ram=config.ram,
        cycles=config.cycles,
        error=config.error,
    )
    check_limits(asked)
    with scratch_folder("bench") as scratch, Benches() as benches:
        choice, folder = measured_choice(asked, target, scratch, benches, Shared())
        measured = benches.start(folder, target.name, config.runs).result()
    return measured | {"policy": str(config.policy), "choice": choice.summary()}


EXPORTED: Final = ("output", "argmax", "normalizer", "task", "calibration", "range")
"""Options of `export` that say how a model is read and judged."""


def _of_export(config: BenchConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in EXPORTED}


@contextmanager
def policy_folder(config: BenchConfig) -> Iterator[Path]:
    """Yield the folder itself if its C has the requested encoding; otherwise a temporary export.

    Raises:
        UserError: what `export` raises.
    """
    if _holds_c(config):
        yield config.policy
        return
    with scratch_folder("bench") as scratch:
        folder = scratch / "policy"
        export_policy(
            ExportConfig(
                model=config.policy, out=folder, encoding=config.encoding, **_of_export(config)
            )
        )
        yield folder


def _holds_c(config: BenchConfig) -> bool:
    """Return whether to measure the folder's own C.

    Raises:
        UserError: the C has another prefix, the folder holds no policy, or an option does not apply
            to its C.
    """
    model, as_it_is = config.policy, config.encoding == AUTO
    prefix = prefix_of(model)
    if prefix != DEFAULT and as_it_is:
        raise UserError(
            f"{model} was exported with --prefix {prefix}; to measure it, export it without one "
            "(the code is the same)"
        )
    if as_it_is and (model / POLICY_SOURCE).is_file():
        _check_unused(config)
        return True
    if model.is_dir() and not (model / POLICY_ONNX).is_file():
        raise UserError(
            f"{model} holds neither {POLICY_SOURCE} nor {POLICY_ONNX}; give the folder that "
            "`sparsectl export` wrote, or a model"
        )
    return False


def _check_unused(config: BenchConfig) -> None:
    """Refuse options that only an export would use, if the existing C is measured.

    Raises:
        UserError: such an option is given.
    """
    for name, given in _of_export(config).items():
        if given is not False and given not in (None, ()):
            raise UserError(
                f"--{name} is {given}, but {config.policy} is exported already and would be "
                f"measured as it is; give the model, or leave --{name} out"
            )


def _on_all(config: BenchConfig, folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for name in Progress(CORES, desc="bench", unit="core", leave=False):
        try:
            results[name] = on_board(replace(config, policy=folder, board=name))
        except UserError as error:
            results[name] = {"reason": str(error)}
    rows = table(results)
    if config.encoding == AUTO and not _holds_c(config):
        measured = next((r["encoding"] for r in results.values() if "encoding" in r), "none")
        print(
            f"measured as {measured}, which export takes without a board; with --board and a name "
            "it measures what export would choose there",
            file=sys.stderr,
        )
    if tasks := next((r["tasks"] for r in results.values() if "tasks" in r), None):
        print(
            f"a call chooses in all {tasks} tasks; with a student and --task, the head of one task "
            "is measured",
            file=sys.stderr,
        )
    wrong = [name for name, found in results.items() if not found.get("bit_exact", True)]
    if wrong:
        print_table(rows, file=sys.stderr)
        raise UserError(_not_exact(config.policy, wrong))
    return {"policy": str(config.policy), "cores": results, "table": rows}


def _not_exact(policy: Path, boards: list[str]) -> str:
    return (
        f"{policy} does not reproduce its golden vectors bit for bit on "
        f"{', '.join(boards)}: its files "
        "were changed or the compiler breaks IEEE arithmetic; export it again"
    )


def table(results: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return one row per core; a core that could not be measured has the reason at its end."""
    return [[*_COLUMNS, ""], *(_row(name, result) for name, result in results.items())]


_COLUMNS: Final = (
    "board",
    "cycles",
    "worst",
    "kind",
    "instructions",
    "us",
    "time",
    "flash",
    "code+tables+data",
    "RAM",
    "stack",
    "activations",
    "max error",
    "golden vectors",
)


def _row(name: str, result: dict[str, Any]) -> list[str]:
    if "reason" in result:
        return [name, *["-"] * (len(_COLUMNS) - 1), result["reason"]]
    figures = ("cycles", "cycles_worst", "cycles_kind", "instructions")
    share, constant = result["activation_share"], result["constant_time"]
    return [
        name,
        *(_figure(result[key]) for key in figures),
        _figure(result["microseconds"], ".4g"),
        "-" if constant is None else "constant" if constant else "varies",
        _figure(result["flash_bytes"]),
        "+".join(f"{size:,}" for size in result["flash"].values()),
        *(_figure(result[key]) for key in ("ram_bytes", "stack_bytes")),
        "-" if share is None else f"{share:.1%}",
        _error(result),
        "bit for bit" if result["bit_exact"] else "WRONG",
        "",
    ]


def _error(result: dict[str, Any]) -> str:
    error, others = result["max_abs_error"], result["other_choices"]
    parts = [] if error is None else [f"{error:.2g}"]
    return ", ".join(parts + ([] if others is None else [f"{others:.1%} other choices"]))


def _figure(value: Any, form: str = ",") -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else format(value, form)
