"""What an emulator is: a command that runs a firmware and says where its serial line is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Protocol

PORT_PATTERN: Final = re.compile(r"(/dev/[\w/.-]+)")
"""The first device path that the command prints is the serial line's."""


class Emulator(Protocol):
    """Runs the firmware of one kind of board."""

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs that it needs, by their names in `firmware_host.tools`."""

    @property
    def note(self) -> str:
        """What its time is and is not, a phrase."""

    def command(self, elf: Path, scratch: Path) -> list[str]:
        """The command that runs `elf`; `scratch` is an empty folder for what that takes.

        Raises:
            UserError: a tool is missing.
        """

    def instructions(self, seconds: float) -> int | None:
        """Instructions that ran in so much of the firmware's own time; None where it cannot tell.

        Only of time in which the core did not sleep.
        """
