"""Disassemble the Thumb instructions of a linked program with the tool chain's objdump."""

from __future__ import annotations

import re
import subprocess
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_LINE = re.compile(r"^ *([0-9a-f]+):\t(?:[0-9a-f]{4} ?)+[ \t]*\t([a-z][\w.]*)(?:\t(.*))?$")
_NUMBERS = {"r13": "sp", "r14": "lr", "r15": "pc", "sl": "r10", "fp": "r11", "ip": "r12"}
_REGISTER = re.compile(r"\b(?:r\d+|[sd]\d+|sp|lr|pc|sl|fp|ip)\b")
_CONDITIONS = "eq ne cs hs cc lo mi pl vs vc hi ls ge lt gt le al".split()
_IT = re.compile(r"it[te]{0,3}")


@dataclass(frozen=True)
class Instruction:
    """One instruction of a disassembly."""

    address: int
    size: int
    """Size in bytes: 2 or 4."""
    operation: str
    """Mnemonic without width, type and condition: ldr, vadd, b."""
    suffix: str
    """Type of a float operation: f32, f64; otherwise empty."""
    condition: str
    """Condition: eq, ne and so on; empty: always executed."""
    operands: str
    in_it_block: bool = False

    @cached_property
    def registers(self) -> tuple[str, ...]:
        """Return all registers in the operands, in order; ranges in lists are expanded."""
        return tuple(_NUMBERS.get(r, r) for r in _REGISTER.findall(_ranges(self.operands)))

    @cached_property
    def list_length(self) -> int:
        """Return the number of words that a list of registers moves."""
        inside = re.search(r"\{(.*?)\}", _ranges(self.operands))
        names = _REGISTER.findall(inside.group(1)) if inside else []
        return sum(2 if name.startswith("d") else 1 for name in names)

    @cached_property
    def address_registers(self) -> tuple[str, ...]:
        """Return the registers of the address of a single load or store."""
        inside = re.search(r"\[(.*?)\]", self.operands)
        names = _REGISTER.findall(inside.group(1)) if inside else []
        return tuple(_NUMBERS.get(name, name) for name in names)

    @property
    def is_load(self) -> bool:
        return self.operation.startswith(("ldr", "vldr")) and self.operation != "ldrd"

    @property
    def is_store(self) -> bool:
        return self.operation.startswith(("str", "vstr")) and self.operation != "strd"

    @property
    def is_branch(self) -> bool:
        return self.operation in ("b", "bl", "bx", "blx", "cbz", "cbnz", "tbb", "tbh")

    @property
    def writes(self) -> str | None:
        """Return the register that it computes or loads; None for a store, comparison or branch."""
        none = self.is_store or self.is_branch or self.operation in _WRITE_NOTHING
        return None if none or not self.registers else self.registers[0]

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the registers that it reads, including a destination that is added to."""
        if self.is_store or self.operation in _WRITE_NOTHING or self.accumulates:
            return self.registers
        return self.registers[1:]

    @property
    def accumulates(self) -> bool:
        return self.operation.startswith(("vfm", "vfn", "vml", "vnml", "mla", "mls"))


_WRITE_NOTHING = ("cmp", "cmn", "tst", "teq", "vcmp", "vcmpe", "push", "vpush", "stm", "stmia") + (
    "stmdb",
    "vstm",
    "vstmia",
    "vstmdb",
    "nop",
    "strd",
)


class Code:
    """All instructions of a program, which are found by address."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self.instructions = list(instructions)
        self._addresses = [instruction.address for instruction in self.instructions]

    def block(self, address: int, size: int) -> tuple[Instruction, ...]:
        """Return the instructions in `size` bytes from `address`."""
        first = bisect_left(self._addresses, address)
        last = bisect_left(self._addresses, address + size)
        return tuple(self.instructions[first:last])


def disassemble(objdump: str, elf: Path) -> Code:
    """Return every instruction in the text of the program."""
    command = [objdump, "-d", "-j", ".text", str(elf)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Code(list(_instructions(text)))


def _instructions(text: str) -> Iterator[Instruction]:
    conditional_left = 0
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        address, mnemonic, operands = found.groups()
        size = 2 * len(re.findall(r"\b[0-9a-f]{4}\b", line.split("\t")[1]))
        yield _instruction(int(address, 16), size, mnemonic, operands or "", conditional_left > 0)
        conditional_left = max(0, conditional_left - 1)
        if _IT.fullmatch(mnemonic):
            conditional_left = len(mnemonic) - 1


def _instruction(address: int, size: int, name: str, operands: str, in_it: bool) -> Instruction:
    base, *suffixes = name.split(".")
    suffix = next((s for s in suffixes if s not in ("n", "w")), "")
    condition = ""
    if in_it or (base[:1] == "b" and base[1:] in _CONDITIONS):
        base, condition = base[:-2], base[-2:]
    operands = re.split(r"[;@<]", operands)[0].strip()
    return Instruction(address, size, base, suffix, condition, operands, in_it)


def _ranges(operands: str) -> str:
    """Expand ranges of registers: r4-r7 becomes r4, r5, r6, r7."""

    def spell(found: re.Match[str]) -> str:
        kind, first, last = found.group(1), int(found.group(2)), int(found.group(3))
        return ", ".join(f"{kind}{number}" for number in range(first, last + 1))

    return re.sub(r"\b([rsd])(\d+)-\1(\d+)", spell, operands)
