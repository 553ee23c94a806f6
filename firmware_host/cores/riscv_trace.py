"""Measure the share of a call's instructions in activations on RISC-V: Unicorn reports which blocks
ran.

QEMU counts the instructions of a call but does not report their addresses.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import unicorn
from numpy.typing import NDArray
from unicorn import riscv_const as riscv

from sparsectl.firmware_host.cores.activation_share import instruction_addresses, owners
from sparsectl.firmware_host.cores.bench_program import Program, flat_image, symbols
from sparsectl.firmware_host.cores.block_trace import BlockTrace
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
    kinds, numbers = np.unique(blocks, return_inverse=True)
    of_kinds = [
        _share_of(_inside(addresses, int(kind)), owned.activations, owned.libraries)
        for kind in kinds
    ]
    length, leading, part, has_own, ends_inside = np.array(of_kinds, np.int64).T[:, numbers]
    # The last block before each one in which the policy's own code ran says whose library code is.
    latest = np.maximum.accumulate(np.where(has_own, np.arange(len(numbers)), -1))
    before = np.concatenate([[-1], latest[:-1]])
    starts_inside = np.where(before >= 0, ends_inside[before], 0)
    return float((part + leading * starts_inside).sum() / length.sum())


def _inside(addresses: NDArray[np.uint64], block: int) -> list[int]:
    """Return the instructions of a block."""
    start, size = block & 0xFFFFFFFF, block >> 32
    found: list[int] = addresses[(addresses >= start) & (addresses < start + size)].tolist()
    return found


def _share_of(
    block: list[int], activations: frozenset[int], libraries: frozenset[int]
) -> tuple[int, int, int, int, int]:
    """Return of a block its instructions, how many of a library lead it, how many of the others
    count for activations, whether any is the policy's own, and whether the last of these is an
    activation's. A library's instruction is its caller's: of what ran before it."""
    own = [place for place, address in enumerate(block) if address not in libraries]
    if not own:
        return len(block), len(block), 0, 0, 0
    inside, part = False, 0
    for address in block[own[0] :]:
        if address not in libraries:
            inside = address in activations
        part += inside
    return len(block), own[0], part, 1, int(inside)


def _blocks(core: Core, program: Program, observation: Float32) -> NDArray[np.uint64] | None:
    """Return the blocks that ran, as address | size << 32."""
    names = symbols(core, program.elf)
    machine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
    machine.mem_map(RAM, RAM_BYTES)
    machine.mem_write(RAM, flat_image(core, program.elf))
    machine.mem_write(names["bench_observation"], observation.tobytes())
    trace = BlockTrace(machine)
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
    return trace.blocks if machine.reg_read(riscv.UC_RISCV_REG_PC) == back else None
