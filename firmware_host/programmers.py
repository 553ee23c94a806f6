"""Write a board's flash with its usual tool, as a command that is shown and then run."""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.tools import find_tool


class Programmer(Protocol):
    """Writes firmware to boards of one kind."""

    @property
    def needs_port(self) -> bool:
        """Return whether it needs the board's serial port."""

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the programs that it needs, as in `firmware_host.tools`."""

    def commands(self, folder: Path, port: str | None) -> list[Sequence[str]]:
        """Return the commands that write what `sparsectl build` left in `folder`, in order.

        Raises:
            UserError: the tool is not installed, or the board is not there.
        """


@dataclass(frozen=True)
class StFlash:
    """An ST-Link probe, used by the open tool st-flash."""

    address: int
    needs_port: bool = False
    tools: tuple[str, ...] = ("st-flash",)

    def commands(self, folder: Path, port: str | None) -> list[Sequence[str]]:
        """Return the command that writes a raw image to its address."""
        tool = find_tool("st-flash")
        return [(tool, "--reset", "write", str(folder / "firmware.bin"), hex(self.address))]


@dataclass(frozen=True)
class OpenOcd:
    """OpenOCD with one of the board files that it comes with."""

    config: str
    needs_port: bool = False
    tools: tuple[str, ...] = ("openocd",)

    def commands(self, folder: Path, port: str | None) -> list[Sequence[str]]:
        """Return the command that writes the firmware, compares it and starts it."""
        tool = find_tool("openocd")
        image = folder / "firmware.hex"
        if any(mark in str(image) for mark in ' "{}[]$'):
            raise UserError(
                f"openocd cannot handle the path {image}; build into a folder with a simpler name"
            )
        return [(tool, "-f", self.config, "-c", f"program {image} verify reset exit")]


@dataclass(frozen=True)
class Avrdude:
    """An Arduino's boot loader, through its serial port."""

    part: str
    protocol: str
    baud: int
    needs_port: bool = True
    tools: tuple[str, ...] = ("avrdude",)

    def commands(self, folder: Path, port: str | None) -> list[Sequence[str]]:
        """Return the command that writes the firmware and compares it; the boot loader stays as it
        is (-D)."""
        tool = find_tool("avrdude")
        if port is None or not (
            os.name == "nt" or Path(port).exists()
        ):  # avrdude may wait for ever
            raise UserError(f"no port {port}; plug the board in and see `sparsectl doctor`")
        line = ("-P", port, "-b", str(self.baud))
        image = f"flash:w:{folder / 'firmware.hex'}:i"
        return [(tool, "-p", self.part, "-c", self.protocol, *line, "-D", "-U", image)]


@dataclass(frozen=True)
class UsbDrive:
    """A board that appears as a drive and flashes the file that is copied there."""

    label: str
    details: str
    """A file that such a drive has, to know it by."""
    needs_port: bool = False
    tools: tuple[str, ...] = ()

    def commands(self, folder: Path, port: str | None) -> list[Sequence[str]]:
        """Return the command that copies the hex file; `port` may name where the drive is
        mounted."""
        drive = Path(port) if port is not None else self._mounted()
        if not (drive / self.details).is_file():
            raise UserError(f"{drive} is no {self.label} drive (it has no {self.details})")
        copy = shutil.which("cp") or "cp"
        return [(copy, str(folder / "firmware.hex"), str(drive / "firmware.hex"))]

    def _mounted(self) -> Path:
        user = getpass.getuser()
        places = [
            Path("/media") / user,
            Path("/run/media") / user,
            Path("/media"),
            Path("/Volumes"),
        ]
        for place in places:
            if (place / self.label / self.details).is_file():
                return place / self.label
        raise UserError(
            f"no drive {self.label} is mounted; plug the board in, or give its folder as --port"
        )
