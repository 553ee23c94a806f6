"""Measure a policy on an AVR chip in simavr, instruction by instruction: the cycles are exact."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.compiler import find_compiler
from sparsectl.firmware_host.cores.activation_share import owners
from sparsectl.firmware_host.cores.bench_program import BENCH, Port, Program, build_program, symbols
from sparsectl.firmware_host.cores.core import Core, Float32, Measurement
from sparsectl.firmware_host.cores.host import HOST
from sparsectl.firmware_host.policy_folder import read_policy_facts
from sparsectl.firmware_host.simavr_program import write_simavr_program

PORT: Final = Port(sources=(BENCH / "avr" / "core.c",), link_flags=())
RUN_TIMEOUT_S: Final = 300.0
SIMULATOR: Final = BENCH / "avr" / "simulator.c"
"""The program that steps simavr, on this machine."""


@dataclass(frozen=True)
class Run:
    """The output of the simulator."""

    calls: NDArray[Any]
    """Fields cycles, instructions, stack, action."""
    activation_cycles: int
    """Cycles of activations in all calls, with the functions that they called."""


def measure(core: Core, policy: Path, folder: Path, observations: Float32) -> Measurement:
    """See `Core.measure`."""
    program = build_program(core, PORT, policy, folder)
    run = _simulate(core, program, policy, folder, observations)
    return Measurement(
        actions=run.calls["action"].astype(np.float32),
        cycles=tuple(map(int, run.calls["cycles"])),
        cycles_kind="exact",
        instructions=tuple(map(int, run.calls["instructions"])),
        flash=program.flash,
        ram_bytes=program.ram_bytes,
        stack_bytes=int(run.calls["stack"].max()),
        activation_share=run.activation_cycles / int(run.calls["cycles"].sum()),
        note="cycles are exact (simavr, instruction by instruction)",
    )


def run(core: Core, policy: Path, folder: Path, observations: Float32) -> Float32:
    """Return the actions, as `Core.run` says."""
    program = build_program(core, PORT, policy, folder)
    calls = _simulate(core, program, policy, folder, observations).calls
    actions: Float32 = calls["action"].astype(np.float32)
    return actions


def _simulate(
    core: Core, program: Program, policy: Path, folder: Path, observations: Float32
) -> Run:
    simulator = folder / "simulator"
    write_simavr_program(find_compiler(HOST), SIMULATOR, simulator)
    given, out, owned = folder / "observations", folder / "calls", folder / "owners"
    given.write_bytes(observations.tobytes())
    owned.write_bytes(_owner_bytes(core, program))
    actions = read_policy_facts(policy).action_size
    entry = symbols(core, program.elf)["policy_act"]
    command = [str(simulator), core.name, str(program.elf), hex(entry), str(4 * actions)]
    try:
        answer = subprocess.run(
            [*command, str(owned), str(given), str(out)], capture_output=True, timeout=RUN_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{policy} takes more than {RUN_TIMEOUT_S:.0f} s in simavr; make it smaller"
        ) from error
    if answer.returncode != 0:
        raise UserError(
            f"{policy} crashes on {core.name} (more stack than RAM, or an address that is not "
            "there); keep fewer weights or choose another encoding"
        )
    fields = [(name, "<u8") for name in ("cycles", "instructions", "stack")]
    row = np.dtype([*fields, ("action", "<f4", (actions,))])
    written = out.read_bytes()
    calls = np.frombuffer(written, row, len(observations))
    return Run(calls, int.from_bytes(written[calls.nbytes :], "little"))


def _owner_bytes(core: Core, program: Program) -> bytes:
    """Return one byte for each word of the flash: 1 for an activation, 2 for a library, 0 for
    anything else."""
    owned = owners(core, program.elf)
    assert core.flash_bytes is not None  # an AVR is a chip
    words = bytearray(core.flash_bytes // 2)
    for number, addresses in ((1, owned.activations), (2, owned.libraries)):
        for address in addresses:
            words[address >> 1] = number
    return bytes(words)
