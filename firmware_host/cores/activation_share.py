"""Which instructions of a program belong to its activation functions, inlined or not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firmware_host.cores.bench_program import binutil

if TYPE_CHECKING:
    from firmware_host.cores.core import Core

ACTIVATIONS: Final = re.compile(
    r"^_*(relu|leaky|tanh|sigmoid|softmax|elu|selu|celu|gelu|silu|swish|softplus|softsign|exp|"
    r"hard|mish|argmax|activat)"
)
"""How functions of activations begin; libm's too, which a rival may call."""


def activation_addresses(core: Core, elf: Path) -> frozenset[int]:
    """Addresses of all instructions of functions named like an activation.

    An inlined function counts by its debug information; what such a function calls (a float
    division of libgcc, say) does not count.
    """
    addresses = _addresses(core, elf)
    command = [binutil(core, "addr2line"), "-a", "-i", "-f", "-e", str(elf)]
    lines = subprocess.run(
        command,
        input="\n".join(f"{address:#x}" for address in addresses),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return frozenset(_named(lines))


def _addresses(core: Core, elf: Path) -> list[int]:
    command = [binutil(core, "objdump"), "-d", str(elf)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(found, 16) for found in re.findall(r"^ *([0-9a-f]+):\t", text, re.MULTILINE)]


def _named(lines: list[str]) -> set[int]:
    """From addr2line's answer: an address, then pairs of a function and its place in a file."""
    found: set[int] = set()
    address, expect_function = 0, False
    for line in lines:
        if line.startswith("0x"):
            address, expect_function = int(line, 16), True
            continue
        if expect_function and ACTIVATIONS.match(line):
            found.add(address)
        expect_function = not expect_function
    return found
