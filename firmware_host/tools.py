"""List the programs that building, emulating and measuring need, with the Debian package of each.

`python3 -m sparsectl.firmware_host.tools` prints the packages, a line of words: `make toolchain`
installs them. It runs before there is an environment, so only the standard library is imported
here.
"""

from __future__ import annotations

import shutil
from typing import Final

from sparsectl.common.errors import UserError

TOOLS: Final[dict[str, str]] = {
    "gcc": "gcc",
    "g++": "g++",
    "cmake": "cmake",
    "clang": "clang libclang-rt-dev",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "avr-gcc": "gcc-avr avr-libc",
    "avr-g++": "gcc-avr avr-libc arduino-core-avr",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    "qemu-system-arm": "qemu-system-arm",
    "qemu-system-riscv32": "qemu-system-misc",
    "simavr": "simavr libsimavr-dev libelf-dev",
    "st-flash": "stlink-tools",
    "openocd": "openocd",
    "avrdude": "avrdude",
    "valgrind": "valgrind",
    "chromium": "chromium",
}
"""Program to packages, all of Debian."""


def find_tool(name: str) -> str:
    """Return the path of the program `name`, one of `TOOLS`.

    Raises:
        UserError: it is not installed; the message has the command that gets it.
    """
    path = shutil.which(name)
    if path is None:
        raise UserError(f"{name} is not installed; get it: sudo apt install {TOOLS[name]}")
    return path


def packages() -> list[str]:
    """Return all Debian packages, each once."""
    return sorted({package for line in TOOLS.values() for package in line.split()})


if __name__ == "__main__":
    print(*packages())
