"""Run a Cortex-M program in Unicorn, call by call, and record which blocks ran.

What ran is exact although nothing is recorded of most instructions: all instructions of a block
run, a branch at its end was taken if another block follows than the next in memory, and where a
condition (an IT instruction) decides over an instruction that takes several cycles, the flags are
read at that IT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import unicorn
from numpy.typing import NDArray
from unicorn import arm_const as arm

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.cores.block_trace import BlockTrace

FLASH: Final = 0x00000000
RAM: Final = 0x20000000
MEMORY_BYTES: Final = 4 << 20
_DEVICES: Final = ((0x40004000, 0x1000), (0xE000E000, 0x1000))
"""The UART, which the start-up code sets, and the system control space."""
RUN_TIMEOUT_S = 300.0
_STACK_PAINTED: Final = 64 << 10


@dataclass(frozen=True)
class Call:
    """One call of the policy, with what it ran."""

    action: bytes
    blocks: NDArray[np.uint64]
    """Each block that ran, in order: address | size << 32."""
    flags: dict[int, dict[int, int]]
    """Position in `blocks` to IT instruction's address to the flags NZCV (bits 3 to 0) there."""
    stack_bytes: int


class CortexMachine:
    """A program in memory that has started up, so that the policy can be called."""

    def __init__(self, model: str, image: bytes, symbols: dict[str, int]) -> None:
        self._symbols = symbols
        self._unicorn = unicorn.Uc(
            unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
        )
        self._unicorn.ctl_set_cpu_model(getattr(arm, f"UC_CPU_ARM_{model}"))
        for start, size in ((FLASH, MEMORY_BYTES), (RAM, MEMORY_BYTES), *_DEVICES):
            self._unicorn.mem_map(start, size)
        self._unicorn.mem_write(FLASH, image)
        self._paint = np.random.default_rng(0).bytes(_STACK_PAINTED)
        self._start_up()

    def trace(self, watched_its: list[int]) -> None:
        """From here on record which blocks run, for `call`, and the flags at these ITs."""
        self._trace = BlockTrace(self._unicorn, arm.UC_ARM_REG_CPSR)
        for address in watched_its:
            self._trace.watch(address)

    def reset_policy(self) -> None:
        """Call policy_reset once; only for a policy that keeps a state.

        Raises:
            UserError: as `call`.
        """
        self._unicorn.reg_write(arm.UC_ARM_REG_SP, self._symbols["bench_stack_top"])
        self._unicorn.reg_write(arm.UC_ARM_REG_LR, self._symbols["bench_stop"] | 1)
        self._run(self._symbols["policy_reset"], self._symbols["bench_stop"])

    def call(self, observation: bytes, action_bytes: int) -> Call:
        """Call policy_act once, and return what it ran; only after `trace`.

        Raises:
            UserError: as `act`.
        """
        painted = self._symbols["bench_stack_top"] - _STACK_PAINTED
        self._unicorn.mem_write(painted, self._paint)
        self._trace.clear()
        action = self.act(observation, action_bytes)
        stack = bytes(self._unicorn.mem_read(painted, _STACK_PAINTED))
        return Call(action, self._trace.blocks, self._trace.flags, _depth(stack, self._paint))

    def act(self, observation: bytes, action_bytes: int) -> bytes:
        """Call policy_act once, and return the action.

        Raises:
            UserError: it does not come back, or reaches for memory that is not there.
        """
        names = self._symbols
        self._unicorn.mem_write(names["bench_observation"], observation)
        for register, value in (
            (arm.UC_ARM_REG_SP, names["bench_stack_top"]),
            (arm.UC_ARM_REG_LR, names["bench_stop"] | 1),
            (arm.UC_ARM_REG_R0, names["bench_observation"]),
            (arm.UC_ARM_REG_R1, names["bench_action"]),
        ):
            self._unicorn.reg_write(register, value)
        self._run(names["policy_act"], names["bench_stop"])
        return bytes(self._unicorn.mem_read(names["bench_action"], action_bytes))

    def _start_up(self) -> None:
        self._unicorn.reg_write(arm.UC_ARM_REG_SP, self._symbols["bench_stack_top"])
        self._run(self._symbols["bench_reset"], self._symbols["bench_receive"])

    def _run(self, start: int, end: int) -> None:
        try:
            limit_us = int(RUN_TIMEOUT_S * 1e6)
            self._unicorn.emu_start(start | 1, end & ~1, timeout=limit_us)
        except unicorn.UcError as error:
            at = self._unicorn.reg_read(arm.UC_ARM_REG_PC)
            raise UserError(
                f"the compiled policy fails at {at:#x} ({error}); export it again"
            ) from error
        if self._unicorn.reg_read(arm.UC_ARM_REG_PC) & ~1 != end & ~1:
            raise UserError(
                f"the compiled policy does not return within {RUN_TIMEOUT_S:g} s; export it "
                "again or take a smaller one"
            )


def _depth(stack: bytes, paint: bytes) -> int:
    """Return the bytes from the top of the stack down to the lowest that differs from the paint."""
    differ = np.flatnonzero(np.frombuffer(stack, np.uint8) != np.frombuffer(paint, np.uint8))
    return 0 if not len(differ) else (len(stack) - int(differ[0]) + 3) // 4 * 4
