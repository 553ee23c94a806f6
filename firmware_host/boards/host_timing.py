"""Times a policy on this machine, and counts its instructions where valgrind is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from common.errors import UserError
from firmware_host.boards.board import FIRMWARE, WARNINGS, Board, Timing
from firmware_host.compiler import compile_object, link

RUN_TIMEOUT_S = 300.0


def time_policy(board: Board, policy: Path, folder: Path, runs: int) -> Timing:
    """Compile the policy and its golden vectors into a program in `folder`, and run that.

    Raises:
        UserError: no compiler, or the policy does not compile or crashes.
    """
    program = _build(board, policy, folder)
    least_ns, median_ns, error, vectors = _run([str(program), str(runs)], policy).split()
    instructions = _count_instructions(program, int(vectors), folder)
    return Timing(
        cycles=None,
        cycles_kind=None,
        instructions=instructions,
        microseconds=float(least_ns) * 1e-3,
        median_microseconds=float(median_ns) * 1e-3,
        max_abs_error=float(error),
        note=_note(instructions),
    )


def _note(instructions: int | None) -> str:
    note = "wall-clock time of this machine, least and median; a host has no cycle count to quote"
    if instructions is None:
        return note + "; install valgrind for its instructions"
    return note + "; instructions are this machine's, counted by valgrind, mean of the vectors"


def _build(board: Board, policy: Path, folder: Path) -> Path:
    include = f"-I{policy.resolve()}"
    objects = [folder / "bench_policy.o", folder / "bench_host.o"]
    compile_object(board, policy / "policy.c", objects[0], WARNINGS)
    compile_object(board, FIRMWARE / "bench" / "host.c", objects[1], (*WARNINGS, include))
    link(board, objects, folder / "bench", ("-lm",))
    return folder / "bench"


def _run(command: list[str], policy: Path) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{policy}: no end after {RUN_TIMEOUT_S:.0f} s; ask for fewer runs"
        ) from error
    if answer.returncode != 0:
        raise UserError(f"{policy}: the compiled policy ends with code {answer.returncode}")
    return answer.stdout


def _count_instructions(program: Path, vectors: int, folder: Path) -> int | None:
    """Instructions of one call, mean over the golden vectors; None without valgrind."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    command = [valgrind, "--tool=callgrind", "--toggle-collect=policy_act"]
    command += [f"--callgrind-out-file={folder / 'callgrind.out'}", str(program), "0"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    match = re.search(r"Collected : (\d+)", answer.stderr)
    return round(int(match.group(1)) / vectors) if match else None
