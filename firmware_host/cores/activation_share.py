"""Determine which instructions of a program belong to activation functions, inlined or not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparsectl.firmware_host.cores.bench_program import binutil

if TYPE_CHECKING:
    from sparsectl.firmware_host.cores.core import Core

ACTIVATIONS: Final = re.compile(
    r"^_*(fixed_)?(relu|positive|leaky|tanh|sigmoid|logistic|softmax|elu|selu|celu|gelu|silu|swish|softplus|softsign|"
    r"exp|erf|hard|mish|argmax|activat|layer_activat|eml_net_activation)"
)
"""Prefixes of the names of activation functions; libm's too, which a competitor's code may call."""


@dataclass(frozen=True)
class Owners:
    """Addresses of instructions, by owner. Instructions in neither set are the rest of the
    policy."""

    activations: frozenset[int]
    """Instructions of functions named like an activation, inlined or not."""
    libraries: frozenset[int]
    """Instructions of functions without source on this machine, such as libgcc's float operations:
    their time counts for their caller."""


def owners(core: Core, elf: Path) -> Owners:
    """Find the owners of all instructions of the program, by its debug information."""
    command = [binutil(core, "addr2line"), "-a", "-i", "-f", "-e", str(elf)]
    answer = subprocess.run(
        command,
        input="\n".join(f"{address:#x}" for address in instruction_addresses(core, elf)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    activations, libraries = set(), set()
    is_here = cache(lambda place: Path(place).is_file())
    for address, functions, place in _rows(answer.splitlines()):
        if any(ACTIVATIONS.match(name) for name in functions):
            activations.add(address)
        elif not is_here(place):
            libraries.add(address)
    return Owners(frozenset(activations), frozenset(libraries))


def instruction_addresses(core: Core, elf: Path) -> list[int]:
    """Return the addresses of all instructions of the program, by its disassembly."""
    command = [binutil(core, "objdump"), "-d", str(elf)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(found, 16) for found in re.findall(r"^ *([0-9a-f]+):\t", text, re.MULTILINE)]


def _rows(lines: list[str]) -> Iterator[tuple[int, list[str], str]]:
    """Yield the entries of addr2line's answer: an address, its functions from the innermost on, and
    its source file."""
    start = 0
    while start < len(lines):
        end = start + 1
        while end < len(lines) and not lines[end].startswith("0x"):
            end += 1
        functions, places = lines[start + 1 : end : 2], lines[start + 2 : end : 2]
        yield int(lines[start], 16), functions, places[0].rsplit(":", 1)[0]
        start = end
