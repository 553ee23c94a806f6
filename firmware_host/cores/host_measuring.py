"""Measures a policy on this machine: by its clock, and by valgrind where that is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

from common.errors import UserError
from firmware_host.compiler import compile_object, link, section_sizes
from firmware_host.cores.bench_program import BENCH
from firmware_host.cores.core import WARNINGS, Core, Float32, Measurement

RUN_TIMEOUT_S = 300.0


def measure(
    core: Core, policy: Path, folder: Path, observations: Float32, runs: int
) -> Measurement:
    """See `Core.measure`."""
    program, sizes, stack = _build(core, policy, folder)
    given = folder / "observations"
    given.write_bytes(observations.tobytes())
    answer = _run([str(program), str(runs), str(given)], policy)
    figures, _, actions = answer.partition(b"\n")
    least_ns, median_ns = (float(word) for word in figures.split())
    instructions = _count_instructions(program, given, len(observations), folder)
    return Measurement(
        actions=np.frombuffer(actions, np.float32).reshape(len(observations), -1),
        cycles=None,
        cycles_kind=None,
        instructions=None if instructions is None else (instructions,),
        flash={"code": sizes["text_bytes"], "tables": 0, "data": sizes["data_bytes"]},
        ram_bytes=sizes["data_bytes"] + sizes["bss_bytes"],
        stack_bytes=stack,
        activation_share=None,
        note=_note(instructions),
        microseconds=least_ns * 1e-3,
        median_microseconds=median_ns * 1e-3,
    )


def _note(instructions: int | None) -> str:
    note = "wall-clock time of this machine, least and median; a host has no cycle count to quote"
    if instructions is None:
        return note + "; install valgrind for its instructions"
    return note + "; instructions are this machine's, counted by valgrind, a mean"


def _build(core: Core, policy: Path, folder: Path) -> tuple[Path, dict[str, int], int | None]:
    """The program, the sizes of the policy's objects, the sum of its frames."""
    include = f"-I{policy.resolve()}"
    own = [policy / name for name in ("policy.c", "policy.S") if (policy / name).is_file()]
    objects = [folder / f"{source.name}.o" for source in own]
    for source, path in zip(own, objects, strict=True):
        compile_object(core, source, path, (*WARNINGS, "-fstack-usage", include))
    sizes = [section_sizes(path) for path in objects]
    frame = folder / "host.o"
    compile_object(core, BENCH / "host.c", frame, (*WARNINGS, include))
    link(core, [*objects, frame], folder / "bench", (), ("-lm",))
    total = {name: sum(size[name] for size in sizes) for name in sizes[0]}
    return folder / "bench", total, _frames(objects[0].with_suffix(".su"))


def _frames(usage: Path) -> int | None:
    """All frames of the file one upon another: more than that no call can take."""
    if not usage.is_file():
        return None
    return sum(int(line.split("\t")[1]) for line in usage.read_text().splitlines())


def _run(command: list[str], policy: Path) -> bytes:
    try:
        answer = subprocess.run(command, capture_output=True, timeout=RUN_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{policy}: no end after {RUN_TIMEOUT_S:.0f} s; ask for fewer runs"
        ) from error
    if answer.returncode != 0:
        raise UserError(f"{policy}: the compiled policy ends with code {answer.returncode}")
    return answer.stdout


def _count_instructions(program: Path, given: Path, calls: int, folder: Path) -> int | None:
    """Instructions of one call, a mean over the observations; None without valgrind."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    command = [valgrind, "--tool=callgrind", "--toggle-collect=policy_act"]
    command += [f"--callgrind-out-file={folder / 'callgrind.out'}", str(program), "0", str(given)]
    answer = subprocess.run(command, capture_output=True, timeout=RUN_TIMEOUT_S)
    match = re.search(rb"Collected : (\d+)", answer.stderr)
    return round(int(match.group(1)) / calls) if match else None
