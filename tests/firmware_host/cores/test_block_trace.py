"""What the hooks in C record is what hooks in Python see."""

from __future__ import annotations

from typing import Any

import numpy as np
import unicorn
from unicorn import arm_const as arm

from sparsectl.firmware_host.cores.block_trace import BlockTrace
from tests.tools import need

CODE = bytes.fromhex(
    "0620"  # 0: movs r0, #6
    "0028"  # 2: cmp r0, #0
    "0cbf"  # 4: ite eq
    "0121"  # 6: moveq r1, #1
    "0221"  # 8: movne r1, #2
    "0138"  # a: subs r0, #1
    "f9d5"  # c: bpl 2
    "00bf"  # e: nop, the end
)
IT, END = 4, 0xE


def machine() -> unicorn.Uc:
    made = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    made.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
    made.mem_map(0, 4096)
    made.mem_write(0, CODE)
    return made


def seen_from_python() -> tuple[list[int], dict[int, dict[int, int]]]:
    blocks: list[int] = []
    flags: dict[int, dict[int, int]] = {}
    observed = machine()

    def on_block(_: Any, address: int, size: int, __: Any) -> None:
        blocks.append(address | size << 32)

    def on_it(its: unicorn.Uc, address: int, _: int, __: Any) -> None:
        flags[len(blocks) - 1] = {address: its.reg_read(arm.UC_ARM_REG_CPSR) >> 28}

    observed.hook_add(unicorn.UC_HOOK_BLOCK, on_block)
    observed.hook_add(unicorn.UC_HOOK_CODE, on_it, begin=IT, end=IT)
    observed.emu_start(1, END)
    return blocks, flags


def test_the_trace_is_what_python_sees() -> None:
    need("gcc")
    blocks, flags = seen_from_python()
    assert len(blocks) > 6 and len(set(map(str, flags.values()))) > 1
    traced = machine()
    trace = BlockTrace(traced, arm.UC_ARM_REG_CPSR)
    trace.watch(IT)
    for _ in range(2):  # the second is not added to the first
        trace.clear()
        traced.emu_start(1, END)
        assert trace.blocks.tolist() == blocks
        assert trace.flags == flags


def test_a_trace_is_a_copy_and_grows() -> None:
    need("gcc")
    traced = machine()
    trace = BlockTrace(traced)
    traced.emu_start(1, END)
    first = trace.blocks
    before = first.copy()
    for _ in range(2000):  # past the room that it begins with
        traced.emu_start(1, END)
    assert np.array_equal(first, before)
    assert np.array_equal(trace.blocks, np.tile(first, 2001))
    assert trace.flags == {}
