"""Run the policy of host mode in a process without rights, with the interface of
`PolicyLibrary`."""

from __future__ import annotations

import struct
from pathlib import Path

from sparsectl.firmware_host.policy_library import build_policy_program
from sparsectl.hil.replay.confined import STATIC, ConfinedProgram
from sparsectl.plants.rig_constants import RigConstants

_ACT = struct.Struct("<ciiI")
_OUTPUT = struct.Struct("<f")


class PolicyProcess:
    """A policy with its history of observations and, if it is recurrent, its state."""

    def __init__(self, program: ConfinedProgram) -> None:
        self._program = program

    def reset(self) -> None:
        """Forget the history: the next counts fill it, with no velocity."""
        self._program.write(b"R")

    def begin(self) -> None:
        """Let the policy take over the motor; a recurrent one resets its state."""
        self._program.write(b"B")

    def act(self, base_count: int, pole_count: int, periods: int) -> tuple[float, int]:
        """Return the output (an exact float32) for raw counts from home; its time is not
        measured."""
        self._program.write(_ACT.pack(b"A", base_count, pole_count, periods))
        return float(_OUTPUT.unpack(self._program.read(_OUTPUT.size))[0]), 0


def build_policy_process(policy: Path, rig: RigConstants, folder: Path) -> ConfinedProgram:
    """Compile the policy; start the result as a context manager.

    Raises:
        UserError: no compiler, policy files missing or foreign, or a policy for another rig.
    """
    return ConfinedProgram(build_policy_program(policy, rig, folder, STATIC))
