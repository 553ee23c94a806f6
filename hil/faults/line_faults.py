"""Faults of the serial line: each takes the bytes that were sent and returns those that arrive."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from sparsectl.hil.faults.kinds import FaultSpec

Way = Literal["to_board", "to_host"]
WAYS: Final[tuple[Way, Way]] = ("to_board", "to_host")

DAMAGE = 0.2
"""Part of the bytes that a damaging fault hits, unless asked for otherwise."""
HOLD_S = 0.2
"""How long a holding fault holds bytes back, unless asked for otherwise."""


class LineFault:
    """Bytes pass as they are; times in seconds since the fault came."""

    def take(self, way: Way, data: bytes, now_s: float) -> bytes:
        """Take bytes that were sent, and return those that arrive at once."""
        return data

    def release(self, way: Way, now_s: float) -> bytes:
        """Return bytes that arrive later than they were sent."""
        return b""


class _Cut(LineFault):
    def __init__(self, *ways: Way) -> None:
        self.ways = ways

    def take(self, way: Way, data: bytes, now_s: float) -> bytes:
        return b"" if way in self.ways else data


class _Damage(LineFault):
    """Each byte is hit with a chance of its own; `hit` says what becomes of it."""

    def __init__(self, chance: float, hit: Callable[[int, random.Random], bytes]) -> None:
        self.chance, self.hit = chance, hit
        self.dice = random.Random(1)

    def take(self, way: Way, data: bytes, now_s: float) -> bytes:
        dice, chance = self.dice, self.chance
        return b"".join(
            self.hit(byte, dice) if dice.random() < chance else bytes((byte,)) for byte in data
        )


class _Babble(LineFault):
    def __init__(self) -> None:
        self.dice = random.Random(2)

    def take(self, way: Way, data: bytes, now_s: float) -> bytes:
        return self.dice.randbytes(self.dice.randint(1, 40)) + data


class _Looped(LineFault):
    """Each end receives what it sends."""

    def __init__(self) -> None:
        self.back: dict[Way, bytes] = {way: b"" for way in WAYS}

    def take(self, way: Way, data: bytes, now_s: float) -> bytes:
        self.back["to_host" if way == "to_board" else "to_board"] += data
        return b""

    def release(self, way: Way, now_s: float) -> bytes:
        data, self.back[way] = self.back[way], b""
        return data


class _Truncated(LineFault):
    """A frame comes at a time: its last byte stands before the zero that ends it."""

    def take(self, way: Way, data: bytes, now_s: float) -> bytes:
        return data[:-2] + data[-1:]


class _Hold(LineFault):
    """Holds bytes back: each for a time of its own, or all of them until one moment."""

    def __init__(self, hold_s: float, together: bool) -> None:
        self.hold_s, self.together = hold_s, together
        self.held: dict[Way, deque[tuple[float, bytes]]] = {way: deque() for way in WAYS}

    def take(self, way: Way, data: bytes, now_s: float) -> bytes:
        due_s = self.hold_s if self.together else now_s + self.hold_s
        self.held[way].append((due_s, data))
        return self.release(way, now_s)

    def release(self, way: Way, now_s: float) -> bytes:
        held, out = self.held[way], b""
        while held and held[0][0] <= now_s:
            out += held.popleft()[1]
        return out


def _flip(byte: int, dice: random.Random) -> bytes:
    return bytes((byte ^ 1 << dice.randrange(8),))


def _drop(byte: int, dice: random.Random) -> bytes:
    return b""


def _insert(byte: int, dice: random.Random) -> bytes:
    return bytes((byte, dice.randrange(256)))


def _double(byte: int, dice: random.Random) -> bytes:
    return bytes((byte, byte))


def _misread(byte: int, dice: random.Random) -> bytes:
    return dice.randbytes(dice.randint(1, 2))


LINE_FAULTS: Final[dict[str, Callable[[float | None], LineFault]]] = {
    "cut_cable": lambda amount: _Cut(*WAYS),
    "cut_to_board": lambda amount: _Cut("to_board"),
    "cut_to_host": lambda amount: _Cut("to_host"),
    "flipped_bits": lambda amount: _Damage(DAMAGE if amount is None else amount, _flip),
    "dropped_bytes": lambda amount: _Damage(DAMAGE if amount is None else amount, _drop),
    "inserted_bytes": lambda amount: _Damage(DAMAGE if amount is None else amount, _insert),
    "doubled_bytes": lambda amount: _Damage(DAMAGE if amount is None else amount, _double),
    "wrong_baud": lambda amount: _Damage(1.0, _misread),
    "babble": lambda amount: _Babble(),
    "looped_cable": lambda amount: _Looped(),
    "truncated_frames": lambda amount: _Truncated(),
    "delayed_bytes": lambda amount: _Hold(HOLD_S if amount is None else amount, together=False),
    "stalled_bytes": lambda amount: _Hold(HOLD_S if amount is None else amount, together=True),
}


def make_line_fault(spec: FaultSpec) -> LineFault:
    """Return a new instance of the fault."""
    return LINE_FAULTS[spec.kind.name](spec.amount)
