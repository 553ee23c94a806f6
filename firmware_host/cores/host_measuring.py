"""Measure a policy on this machine: by its clock, and by valgrind if that is installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.compiler import compile_object, link
from sparsectl.firmware_host.cores.bench_program import BENCH, section_bytes
from sparsectl.firmware_host.cores.core import WARNINGS, Core, Float32, Measurement
from sparsectl.firmware_host.cores.host_profile import profile
from sparsectl.firmware_host.policy_folder import sequence_flags, sequence_length

RUN_TIMEOUT_S = 300.0
_NOTE = "wall-clock time of this machine, least and median; a host has no cycle count to quote; "
_WITHOUT_VALGRIND = "install valgrind for its instructions"


def measure(
    core: Core, policy: Path, folder: Path, observations: Float32, runs: int
) -> Measurement:
    """Measure as `Core.measure` says."""
    program, sizes = _build(core, policy, folder, sequence_length(policy))
    given = folder / "observations"
    given.write_bytes(observations.tobytes())
    answer = _run([str(program), str(runs), str(given)], policy)
    figures, _, actions = answer.partition(b"\n")
    least_ns, median_ns, stack = (float(word) for word in figures.split())
    found = profile(core, program, given, folder)
    return Measurement(
        actions=np.frombuffer(actions, np.float32).reshape(len(observations), -1),
        cycles=None,
        cycles_kind=None,
        instructions=found.instructions if found else None,
        flash={"code": sizes[".text"], "tables": sizes[".rodata"], "data": sizes[".data"]},
        ram_bytes=sizes[".data"] + sizes[".bss"],
        stack_bytes=int(stack),
        activation_share=found.activation_share if found else None,
        note=_NOTE + ("instructions are exact (valgrind)" if found else _WITHOUT_VALGRIND),
        microseconds=least_ns * 1e-3,
        median_microseconds=median_ns * 1e-3,
    )


def run(core: Core, policy: Path, folder: Path, observations: Float32) -> Float32:
    """Return the actions, as `Core.run` says."""
    program, _ = _build(core, policy, folder, sequence_length(policy))
    given = folder / "observations"
    given.write_bytes(observations.tobytes())
    _, _, actions = _run([str(program), "0", str(given)], policy).partition(b"\n")
    return np.frombuffer(actions, np.float32).reshape(len(observations), -1)


def memory(
    core: Core, policy: Path, folder: Path, observations: Float32, length: int | None
) -> dict[str, int]:
    """Return stack_bytes (the deepest of one call for each observation), ram_bytes and flash_bytes,
    in a fraction of the time that `measure` needs.

    Args:
        core: this machine.
        policy: a folder with the policy's C; nothing else in it is read.
        folder: an empty one for the program.
        observations: what the policy is called with, [count, observation_size].
        length: after how many of them the state of a recurrent policy is reset; None: it has none.

    Raises:
        UserError: no compiler, or it refuses.
    """
    program, sizes = _build(core, policy, folder, length)
    given = folder / "observations"
    given.write_bytes(observations.tobytes())
    figures, _, _ = _run([str(program), "1", str(given)], policy).partition(b"\n")
    return {
        "stack_bytes": int(figures.split()[2]),
        "ram_bytes": sizes[".data"] + sizes[".bss"],
        "flash_bytes": sizes[".text"] + sizes[".rodata"] + sizes[".data"],
    }


def _build(
    core: Core, policy: Path, folder: Path, length: int | None
) -> tuple[Path, dict[str, int]]:
    """Build the program; return it, and the bytes of the policy's objects by kind of section."""
    include = (f"-I{policy.resolve()}", f"-I{BENCH}", *sequence_flags(length))
    own = [policy / name for name in ("policy.c", "policy.S") if (policy / name).is_file()]
    objects = [folder / f"{source.name}.o" for source in own]
    for source, path in zip(own, objects, strict=True):
        compile_object(core, source, path, (*WARNINGS, *include))
    frame = folder / "host.o"
    compile_object(core, BENCH / "host.c", frame, (*WARNINGS, *include))
    link(core, [*objects, frame], folder / "bench", (), ("-lm",))
    found = [row for path in objects for row in section_bytes(core, path).items()]
    sizes = {
        kind: sum(size for name, size in found if name.startswith(kind))
        for kind in (".text", ".rodata", ".data", ".bss")
    }
    return folder / "bench", sizes


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
