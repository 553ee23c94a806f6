"""Compute cycles and instructions from the blocks that ran: each kind of visit is priced once.

Two visits of a block cost the same if the same block ran before it and after it (was its branch
taken?) and if the flags at its conditions were the same; so a trace of a million blocks has a few
hundred prices.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from sparsectl.firmware_host.cores.activation_share import Owners
from sparsectl.firmware_host.cores.cortex_m_trace import Call
from sparsectl.firmware_host.cores.cycle_model import CycleModel, Outcome
from sparsectl.firmware_host.cores.thumb import Code, Instruction

_BEFORE: Final = 5
"""Number of instructions before a block that a model may examine: the longest latency."""

Visit = tuple[int, tuple[tuple[int, int], ...]]
"""A block's address | size << 32, and the flags at its watched IT instructions."""


class Passage(NamedTuple):
    """A visit of a block, with everything that determines its cost."""

    before: Visit | None
    visit: Visit
    taken: bool
    """True if it ended at an address other than the next one."""
    for_activation: bool
    """True if it is library code that an activation called."""


@dataclass(frozen=True)
class Cost:
    """The cycles and instructions of one call."""

    cycles: int
    instructions: int


class Pricing:
    """Computes the cycles of traces of one program with one model."""

    def __init__(self, code: Code, model: CycleModel, owners: Owners) -> None:
        self._code = code
        self._model = model
        self._owners = owners
        self._blocks: dict[int, tuple[Instruction, ...]] = {}
        self._prices: dict[Passage, tuple[int, ...]] = {}
        self._known: dict[bytes, tuple[Counter[Passage], Cost]] = {}
        self._passages: Counter[Passage] = Counter()
        self.watched_its = _watched_its(code)
        """Addresses of the IT instructions where the flags decide over cycles."""

    def price(self, call: Call) -> Cost:
        """Return the cycles and instructions of a call, from the first instruction of policy_act to
        its return."""
        trace = hashlib.sha256(call.blocks.tobytes() + repr(call.flags).encode()).digest()
        if trace not in self._known:  # code whose path no value decides has one trace
            counted = self._count(call)
            self._known[trace] = counted, self._cost(counted)
        passages, cost = self._known[trace]
        self._passages.update(passages)
        return cost

    def _cost(self, passages: Counter[Passage]) -> Cost:
        cycles = instructions = 0
        for passage, count in passages.items():
            prices = self._price(passage)
            cycles += count * sum(prices)
            instructions += count * len(prices)
        return Cost(cycles, instructions)

    def activation_share(self) -> float:
        """Return the share of activations in all cycles so far."""
        part = whole = 0
        for passage, count in self._passages.items():
            block, prices = self._block(passage.visit[0]), self._price(passage)
            whole += count * sum(prices)
            for instruction, cycles in zip(block, prices, strict=True):
                inside = instruction.address in self._owners.activations
                part += count * cycles if inside or passage.for_activation else 0
        return part / whole if whole else 0.0

    def _count(self, call: Call) -> Counter[Passage]:
        """Count how often each kind of passage happened."""
        visits, numbers = _numbered(call)
        starts = call.blocks & np.uint64(0xFFFFFFFF)
        ends = starts + (call.blocks >> np.uint64(32))
        taken = np.ones(len(numbers), np.int64)  # the last returns
        taken[:-1] = ends[:-1] != starts[1:]
        before = np.concatenate([[len(visits)], numbers[:-1]])
        inside = self._called_by_activation(visits, numbers)
        codes = ((before * len(visits) + numbers) * 2 + taken) * 2 + inside
        unique, counts = np.unique(codes, return_counts=True)
        found: Counter[Passage] = Counter()
        for code, count in zip(unique.tolist(), counts.tolist(), strict=True):
            pair, bits = divmod(code, 4)
            previous, current = divmod(pair, len(visits))
            earlier = visits[previous] if previous < len(visits) else None
            found[Passage(earlier, visits[current], bool(bits & 2), bool(bits & 1))] = count
        return found

    def _called_by_activation(self, visits: list[Visit], numbers: np.ndarray) -> np.ndarray:
        """Return whether this is library code, and the last code of the policy's own to run was an
        activation."""
        lasts = [self._block(visit[0])[-1].address for visit in visits]
        library = np.array([address in self._owners.libraries for address in lasts])[numbers]
        inside = np.array([address in self._owners.activations for address in lasts])[numbers]
        own = np.maximum.accumulate(np.where(library, 0, np.arange(len(numbers))))
        called: np.ndarray = (library & inside[own]).astype(np.int64)
        return called

    def _block(self, key: int) -> tuple[Instruction, ...]:
        if key not in self._blocks:
            block = self._code.block(key & 0xFFFFFFFF, key >> 32)
            if sum(instruction.size for instruction in block) != key >> 32:
                raise AssertionError(f"the disassembly has gaps at {key & 0xFFFFFFFF:#x}")
            self._blocks[key] = block
        return self._blocks[key]

    def _price(self, passage: Passage) -> tuple[int, ...]:
        if passage not in self._prices:
            visit = passage.visit
            ran = list(self._ran(passage.before)) if passage.before else []
            prices = []
            block, flags = self._block(visit[0]), dict(visit[1])
            for instruction, outcome in _outcomes(block, flags, passage.taken):
                prices.append(self._model.cycles(ran[-_BEFORE:], instruction, outcome))
                ran.append(instruction)
            self._prices[passage] = tuple(prices)
        return self._prices[passage]

    def _ran(self, visit: Visit) -> tuple[Instruction, ...]:
        return self._block(visit[0])[-_BEFORE:]


def _numbered(call: Call) -> tuple[list[Visit], np.ndarray]:
    """Return the kinds of visits, and the kind of each block that ran."""
    unique, numbers = np.unique(call.blocks, return_inverse=True)
    visits: list[Visit] = [(int(block), ()) for block in unique]
    known: dict[Visit, int] = {}
    for position, flags in call.flags.items():
        visit = (int(call.blocks[position]), tuple(sorted(flags.items())))
        if visit not in known:
            known[visit] = len(visits)
            visits.append(visit)
        numbers[position] = known[visit]
    return visits, numbers.astype(np.int64)


def _outcomes(
    block: tuple[Instruction, ...], flags: dict[int, int], taken: bool
) -> list[tuple[Instruction, Outcome]]:
    """Return what each instruction of the block did."""
    outcomes = []
    now: int | None = None
    for instruction in block:
        if instruction.operation.startswith("it"):
            now = flags.get(instruction.address)
        holds = now is None or not instruction.condition or _holds(instruction.condition, now)
        conditional = instruction.in_it_block and not instruction.is_branch
        skipped = conditional and not holds
        outcomes.append((instruction, Outcome.SKIPPED if skipped else Outcome.RUN))
    if taken:
        outcomes[-1] = (outcomes[-1][0], Outcome.TAKEN)
    return outcomes


def _watched_its(code: Code) -> list[int]:
    """Return the addresses of the IT instructions before anything that takes more than a cycle when
    it runs."""
    watched: list[int] = []
    latest = 0
    for instruction in code.instructions:
        if instruction.operation.startswith("it"):
            latest = instruction.address
        elif instruction.in_it_block and _costs_more(instruction) and latest not in watched[-1:]:
            watched.append(latest)
    return watched


def _costs_more(instruction: Instruction) -> bool:
    slow = (
        "ldr",
        "str",
        "ldm",
        "stm",
        "pop",
        "push",
        "v",
        "mla",
        "mls",
        "sm",
        "um",
        "sdiv",
        "udiv",
    )
    return instruction.operation.startswith(slow)


def _holds(condition: str, flags: int) -> bool:
    """Return whether the condition holds. `flags` has N, Z, C and V as bits 3 to 0 (ARMv7-M ARM,
    table A7-1)."""
    n, z, c, v = (bool(flags >> bit & 1) for bit in (3, 2, 1, 0))
    holds = {
        "eq": z,
        "cs": c,
        "hs": c,
        "mi": n,
        "vs": v,
        "hi": c and not z,
        "ge": n == v,
        "gt": not z and n == v,
        "al": True,
    }
    opposites = {"ne": "eq", "cc": "cs", "lo": "cs", "pl": "mi", "vc": "vs", "ls": "hi"}
    opposites |= {"lt": "ge", "le": "gt"}
    return holds[condition] if condition in holds else not holds[opposites[condition]]
