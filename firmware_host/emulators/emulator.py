"""Emulators: commands that run a firmware and print the path of its serial line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Protocol

PORT_PATTERN: Final = re.compile(r"(/dev/[\w/.-]+)")
"""Matches the first device path that the command prints, which is the serial line's."""


class Emulator(Protocol):
    """Runs the firmware of one kind of board."""

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs that it requires, by their names in `firmware_host.tools`."""

    @property
    def note(self) -> str:
        """A phrase about the meaning of its time."""

    def command(self, elf: Path, scratch: Path) -> list[str]:
        """Return the command that runs `elf`; `scratch` is an empty working folder.

        Raises:
            UserError: a tool is missing.
        """

    def instructions(self, seconds: float) -> int | None:
        """Return the instructions that run in this much of the firmware's own time; None: not
        known.

        Valid only for time in which the core did not sleep.
        """
