"""A program of straight-line Cortex-M4F assembly that is being written: its instructions, the table
that streams through them, and the use of the float registers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sparsectl.export.encodings.assembly.cortex_m4f import Instruction

REGISTERS = 32
STREAM = "r3"
"""Runs through the table."""


@dataclass(frozen=True)
class Place:
    """The place of an array, in bytes from an address register."""

    register: str
    offset_bytes: int


@dataclass
class Program:
    """Instructions, and the table that streams through them."""

    instructions: list[Instruction] = field(default_factory=list)
    words: list[float] = field(default_factory=list)

    def load_words(self, first: int, values: Iterable[float]) -> None:
        """Load the next words of the table into the registers from s`first` on."""
        taken = [float(value) for value in values]
        if not taken:
            return
        loaded = float_registers(first, len(taken))
        text = f"vldmia {STREAM}!, {register_list(loaded)}"
        self.add(text, loaded, (STREAM,), cycles=1 + len(taken))
        self.words += taken

    def point(self, register: str, place: Place) -> None:
        """Load the address of `place` into a core register."""
        source, offset = place.register, place.offset_bytes
        high, low = offset // 4096 * 4096, offset % 4096
        for part in [high] if high else []:
            self.add(f"add.w {register}, {source}, #{part}", (register,), (source,))
            source = register
        if low or source != register:
            self.add(f"addw {register}, {source}, #{low}", (register,), (source,))

    def store(self, address: str, stored: Sequence[str]) -> None:
        """Store registers to memory and advance the address."""
        text = f"vstmia {address}!, {register_list(stored)}"
        self.add(text, (address,), (address, *stored), cycles=1 + len(stored))

    def arithmetic(self, operation: str, result: str, *operands: str) -> None:
        text = f"{operation}.f32 {', '.join((result, *operands))}"
        self.instructions.append(Instruction(text, (result,), operands, arithmetic=True))

    def add(
        self,
        text: str,
        writes: Sequence[str],
        reads: Sequence[str],
        cycles: int = 1,
        load: bool = False,
    ) -> None:
        self.instructions.append(Instruction(text, tuple(writes), tuple(reads), cycles, load=load))


@dataclass(frozen=True)
class Registers:
    """The use of the 32 float registers in a layer: inputs, weights, sums, outputs, in order."""

    inputs: int
    weights: int
    outputs: int

    @property
    def sums(self) -> int:
        return REGISTERS - self.inputs - self.weights - self.outputs

    @property
    def first_sum(self) -> int:
        return self.inputs + self.weights

    @property
    def first_output(self) -> int:
        return REGISTERS - self.outputs


def float_registers(first: int, count: int) -> tuple[str, ...]:
    """Return the names of consecutive float registers."""
    return tuple(f"s{number}" for number in range(first, first + count))


def register_list(names: Sequence[str]) -> str:
    """Return the list of registers as vldm and vstm take it."""
    if len(names) == 1:
        return f"{{{names[0]}}}"
    return f"{{{names[0]}-{names[-1]}}}"
