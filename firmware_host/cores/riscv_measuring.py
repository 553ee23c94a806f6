"""Measure a policy on a RISC-V core: QEMU's virt machine counts the instructions that it
retires."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.cores.bench_program import BENCH, Port, Program, build_program
from sparsectl.firmware_host.cores.core import Core, Float32, Measurement
from sparsectl.firmware_host.cores.riscv_trace import activation_share
from sparsectl.firmware_host.policy_folder import read_policy_facts
from sparsectl.firmware_host.tools import find_tool

PORT: Final = Port(
    sources=(BENCH / "riscv" / "start.S", BENCH / "riscv" / "core.c"),
    link_flags=(
        "-nostartfiles",
        f"-T{BENCH / 'riscv' / 'core.ld'}",
        "-Wl,--no-warn-rwx-segments",
    ),
)

RUN_TIMEOUT_S: Final = 120.0
COUNTING: Final = ("-icount", "shift=0")
"""Options of QEMU with which it counts instructions."""

_AROUND: Final = 2
"""Instructions counted beside the policy's: the first reading of the counter, and the call."""


def measure(core: Core, policy: Path, folder: Path, observations: Float32) -> Measurement:
    """Measure as `Core.measure` says."""
    program = build_program(core, PORT, policy, folder)
    rows = _rows(program, policy, observations, COUNTING)
    return Measurement(
        actions=rows["action"].astype(np.float32),
        cycles=None,
        cycles_kind=None,
        instructions=tuple(int(count) - _AROUND for count in rows["instructions"]),
        flash=program.flash,
        ram_bytes=program.ram_bytes,
        stack_bytes=int(rows["stack"].max()),
        activation_share=activation_share(core, program, observations[0]),
        note="instructions are exact (QEMU counts them); cycles depend on the implementation",
    )


def run(core: Core, policy: Path, folder: Path, observations: Float32) -> Float32:
    """Return the actions, as `Core.run` says."""
    program = build_program(core, PORT, policy, folder)
    actions: Float32 = _rows(program, policy, observations, ())["action"].astype(np.float32)
    return actions


def _rows(
    program: Program, policy: Path, observations: Float32, options: tuple[str, ...]
) -> NDArray[Any]:
    """Return what the program says of each call: fields instructions, stack, action."""
    actions = read_policy_facts(policy).action_size
    row = np.dtype([("instructions", "<u4"), ("stack", "<u4"), ("action", "<f4", (actions,))])
    expected = len(observations) * row.itemsize
    return np.frombuffer(_run(program.elf, observations.tobytes(), expected, policy, options), row)


def _run(
    elf: Path, observations: bytes, expected: int, policy: Path, options: tuple[str, ...]
) -> bytes:
    """Send the program its observations and return its answers; it never ends by itself.

    Raises:
        UserError: no QEMU, or no answer.
    """
    command = [find_tool("qemu-system-riscv32"), "-machine", "virt", *options]
    command += ["-bios", "none", "-display", "none", "-monitor", "none", "-net", "none"]
    command += ["-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line"]
    command += ["-m", "128", "-kernel", str(elf)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            answer = _exchange(process, observations, expected)
        finally:
            process.kill()
    if len(answer) < expected:
        raise UserError(
            f"{policy} does not return on RISC-V within {RUN_TIMEOUT_S:.0f} s; export it again"
        )
    return answer


def _exchange(process: subprocess.Popen[bytes], observations: bytes, expected: int) -> bytes:
    """Write and read at the same time, because the line's buffers are small."""
    assert process.stdin is not None and process.stdout is not None
    stdin, stdout = process.stdin, process.stdout
    ends = time.monotonic() + RUN_TIMEOUT_S
    writer = threading.Thread(target=_write, args=(stdin, observations), daemon=True)
    writer.start()
    answer = b""
    while len(answer) < expected and time.monotonic() < ends and process.poll() is None:
        if select.select([stdout], [], [], 1.0)[0]:
            answer += os.read(stdout.fileno(), 1 << 16)
    return answer


def _write(stdin: IO[bytes], observations: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # the reader says what is wrong
        stdin.write(observations)
        stdin.flush()
