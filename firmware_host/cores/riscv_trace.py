"""Measure the share of a call's instructions in activations on RISC-V: Unicorn reports which blocks
ran.

QEMU counts the instructions of a call but does not report their addresses.
"""

from __future__ import annotations

from array import array
from typing import Any, Final

import numpy as np
import unicorn
from unicorn import riscv_const as riscv

from sparsectl.firmware_host.cores.activation_share import instruction_addresses, owners
from sparsectl.firmware_host.cores.bench_program import Program, flat_image, symbols
from sparsectl.firmware_host.cores.core import Core, Float32

RAM: Final = 0x80000000
RAM_BYTES: Final = 16 << 20
TIMEOUT_S: Final = 30.0
_FPU_ON: Final = 0x2000
"""mstatus.FS: initial."""


def activation_share(core: Core, program: Program, observation: Float32) -> float | None:
    """Return the share for one call; None if the call does not return here."""
    blocks = _blocks(core, program, observation)
    if blocks is None:
        return None
    owned = owners(core, program.elf)
    addresses = np.array(sorted(instruction_addresses(core, program.elf)), np.uint64)
    inside, part, whole = False, 0, 0
    kinds: dict[int, list[int]] = {}
    for block in blocks:
        if block not in kinds:
            start, size = block & 0xFFFFFFFF, block >> 32
            kinds[block] = addresses[(addresses >= start) & (addresses < start + size)].tolist()
        for address in kinds[block]:
            if address not in owned.libraries:  # a library's time is its caller's
                inside = address in owned.activations
            part += inside
            whole += 1
    return part / whole


def _blocks(core: Core, program: Program, observation: Float32) -> array[int] | None:
    """Return the blocks that ran, as address | size << 32."""
    names = symbols(core, program.elf)
    machine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
    machine.mem_map(RAM, RAM_BYTES)
    machine.mem_write(RAM, flat_image(core, program.elf))
    machine.mem_write(names["bench_observation"], observation.tobytes())
    blocks = array("Q")
    machine.hook_add(
        unicorn.UC_HOOK_BLOCK, lambda _, address, size, __: blocks.append(address | size << 32)
    )
    back = names["bench_reset"]
    registers: tuple[tuple[Any, int], ...] = (
        (riscv.UC_RISCV_REG_MSTATUS, _FPU_ON),
        (riscv.UC_RISCV_REG_GP, names["__global_pointer$"]),
        (riscv.UC_RISCV_REG_SP, names["bench_stack_top"]),
        (riscv.UC_RISCV_REG_RA, back),
        (riscv.UC_RISCV_REG_A0, names["bench_observation"]),
        (riscv.UC_RISCV_REG_A1, names["bench_action"]),
    )
    for register, value in registers:
        machine.reg_write(register, value)
    try:
        machine.emu_start(names["policy_act"], back, timeout=int(TIMEOUT_S * 1e6))
    except unicorn.UcError:
        return None
    return blocks if machine.reg_read(riscv.UC_RISCV_REG_PC) == back else None
