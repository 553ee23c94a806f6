"""What a policy costs on a board: time, flash, RAM, stack, error."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

from common.errors import UserError
from firmware_host.boards import Board, Timing, find_board
from firmware_host.boards.board import WARNINGS
from firmware_host.compiler import compile_object, section_sizes
from firmware_host.config import BenchConfig
from firmware_host.policy_header import read_policy_header


def bench(config: BenchConfig) -> dict[str, Any]:
    """Compile the policy for the board and measure it.

    Returns:
        board, encoding, cycles, cycles_kind (exact or modelled), instructions, flash_bytes (code
        and tables), ram_bytes (static), stack_bytes (all frames of policy.c, an upper bound),
        max_abs_error (over the golden vectors), clock_hz, microseconds, median_microseconds,
        digest, kept_weights, note. None where the board cannot tell.

    Raises:
        UserError: unknown board, no compiler, policy files missing or foreign, actions that are not
            finite, or over a limit.
    """
    board = find_board(config.board)
    policy = read_policy_header(config.policy)
    if config.runs < 1:
        raise UserError(f"runs is {config.runs}; time at least one call")
    with tempfile.TemporaryDirectory(prefix="sparsectl-bench-") as name:
        sizes = _sizes(board, config.policy, Path(name))
        timing = board.time_policy(config.policy, Path(name), config.runs)
    if not math.isfinite(timing.max_abs_error):
        raise UserError(f"{config.policy} gives actions that are not finite; export it again")
    result = {"board": board.name, "encoding": policy.encoding, **_cost(timing, sizes)}
    result |= {"clock_hz": board.clock_hz, "digest": policy.digest}
    result |= {"kept_weights": policy.kept_weights, "note": timing.note}
    _check_limits(config, result)
    return result


def _cost(timing: Timing, sizes: dict[str, int | None]) -> dict[str, Any]:
    return {
        "cycles": timing.cycles,
        "cycles_kind": timing.cycles_kind,
        "instructions": timing.instructions,
        **sizes,
        "max_abs_error": timing.max_abs_error,
        "microseconds": timing.microseconds,
        "median_microseconds": timing.median_microseconds,
    }


def _sizes(board: Board, policy: Path, folder: Path) -> dict[str, int | None]:
    path = folder / "policy.o"
    compile_object(board, policy / "policy.c", path, (*WARNINGS, "-fstack-usage"))
    sections = section_sizes(path)
    return {
        "flash_bytes": sections["text_bytes"] + sections["data_bytes"],
        "ram_bytes": sections["data_bytes"] + sections["bss_bytes"],
        "stack_bytes": _stack_bytes(path.with_suffix(".su")),
    }


def _stack_bytes(usage: Path) -> int | None:
    """All frames of the file one upon another: more than that no call can take."""
    if not usage.is_file():
        return None
    return sum(int(line.split("\t")[1]) for line in usage.read_text().splitlines())


def _check_limits(config: BenchConfig, result: dict[str, Any]) -> None:
    ram = result["ram_bytes"] + (result["stack_bytes"] or 0)
    limits = (
        ("flash", config.flash, result["flash_bytes"], "bytes"),
        ("ram", config.ram, ram, "bytes"),
        ("cycles", config.cycles, result["cycles"], "cycles"),
        ("error", config.error, result["max_abs_error"], "of the action"),
    )
    for name, limit, value, unit in limits:
        if limit is None:
            continue
        if value is None:
            raise UserError(f"--{name} {limit}: board {config.board} cannot tell; take another")
        if not value <= limit:
            raise UserError(
                f"{config.policy} takes {value:g} {unit} on {config.board}, over --{name} "
                f"{limit:g}; keep fewer weights or choose another encoding"
            )
