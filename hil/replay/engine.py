"""Run the firmware as a process that a script drives: see firmware/ports/replay/port.c of
`firmware_host`."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from sparsectl.firmware_host.boards import find_board
from sparsectl.firmware_host.boards.board import FIRMWARE
from sparsectl.firmware_host.boards.host import HostBoard
from sparsectl.firmware_host.build import build_firmware
from sparsectl.hil.replay.confined import STATIC, ConfinedProgram
from sparsectl.plants.rig_constants import RigConstants
from sparsectl.protocol.wire import Decoder, Frame, encode

CURRENT_UNKNOWN = -(2**31)
_TICK = struct.Struct("<BIQiiiII")
_SIZE = struct.Struct("<H")
_CHUNK = 255


def build_engine(policy: Path, rig: RigConstants, folder: Path) -> Path:
    """Compile policy and core with the host's flags around the replay port; return the program.

    Raises:
        UserError: no compiler, or a policy that does not fit the rig.
    """
    host = find_board("host")
    assert isinstance(host, HostBoard)
    board = replace(
        host, name="replay", port=FIRMWARE / "ports" / "replay", link_flags=STATIC, emulator=None
    )
    return Path(build_firmware(policy, board, rig, folder)["elf"])


class Engine:
    """Runs the program, confined; each call returns the frames that it caused. A context
    manager."""

    def __init__(self, program: Path) -> None:
        self._program = ConfinedProgram(program)
        self._sequence = 0

    def __enter__(self) -> Engine:
        self._program.__enter__()
        self._decoder = Decoder()
        self._answers()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._program.__exit__(kind, error, traceback)

    def tick(
        self,
        periods: int,
        time_us: int,
        base_raw: int,
        pole_raw: int,
        current_ma: int = CURRENT_UNKNOWN,
        lost_edges: int = 0,
        limit_switch: int = 0,
    ) -> list[Frame]:
        """Run one control tick on raw counts, `periods` after the one before."""
        sensors = (base_raw, pole_raw, current_ma, lost_edges, limit_switch)
        return self._play(_TICK.pack(ord("T"), periods, time_us, *sensors))

    def hear(self, name: str, **values: Any) -> list[Frame]:
        """Let the board receive a message."""
        frame = encode(name, self._sequence, **values)
        self._sequence += 1
        chunks = (frame[at : at + _CHUNK] for at in range(0, len(frame), _CHUNK))
        return [found for chunk in chunks for found in self._play(b"S%c" % len(chunk) + chunk)]

    def _play(self, script: bytes) -> list[Frame]:
        self._program.write(script)
        return self._answers()

    def _answers(self) -> list[Frame]:
        """Return all frames up to the mark that the script has been executed."""
        frames = []
        while size := _SIZE.unpack(self._program.read(_SIZE.size))[0]:
            frames += self._decoder.feed(self._program.read(size))
        return frames
