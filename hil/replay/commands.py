"""Compute the host's commands of host mode again from the board's samples."""

from __future__ import annotations

import struct

from sparsectl.hil.drives.host_drives import Commander
from sparsectl.hil.journal.journal import Journal, Kind
from sparsectl.hil.replay.confined import ConfinedProgram
from sparsectl.hil.replay.player import Difference
from sparsectl.hil.replay.policy_process import PolicyProcess
from sparsectl.protocol.wire import decode


def first_other_command(journal: Journal, process: ConfinedProgram) -> Difference | None:
    """Return the first COMMAND whose output differs from that of the compiled policy for its
    OBSERVATION."""
    with process as program:
        return _first_other(journal, Commander(PolicyProcess(program)))


def _first_other(journal: Journal, commander: Commander) -> Difference | None:
    outputs: dict[int, float] = {}
    for record in journal.records:
        if record.kind not in (Kind.FROM_DEVICE, Kind.TO_DEVICE):
            continue
        frame = decode(record.payload)
        if frame is None or frame.name not in ("OBSERVATION", "COMMAND"):
            continue
        tick = frame["tick"]
        if frame.name == "OBSERVATION":
            outputs[tick] = commander.command(frame)["output"]
        elif (ours := outputs.pop(tick, None)) is not None:
            if _bits(ours) != _bits(frame["output"]):
                return Difference(tick, "COMMAND's output", frame["output"], ours)
    return None


def _bits(value: float) -> bytes:
    return struct.pack("<f", value)
