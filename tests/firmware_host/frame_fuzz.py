"""Damaged frames without end, each with a good one behind it, for both decoders at once."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from sparsectl.protocol import wire
from sparsectl.protocol.wire import FLAG_TO_HOST, MESSAGES, Decoder
from tests.firmware_host.core_library import Core

BATCH = 500
"""Damaged frames that are fed at once, in pieces of random length."""

Damage = Callable[[bytearray, random.Random, bytes], bytearray]

SIZES = {
    (message.id, to_host): sum(field.size for field in fields)
    for message in MESSAGES
    for to_host, fields in ((False, message.to_board), (True, message.to_host))
    if fields is not None
}


def _flip(data: bytearray, dice: random.Random, other: bytes) -> bytearray:
    for _ in range(dice.randint(1, 8)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return data


def _drop(data: bytearray, dice: random.Random, other: bytes) -> bytearray:
    for _ in range(min(dice.randint(1, 4), len(data))):
        del data[dice.randrange(len(data))]
    return data


def _insert(data: bytearray, dice: random.Random, other: bytes) -> bytearray:
    for _ in range(dice.randint(1, 4)):
        data.insert(dice.randrange(len(data) + 1), dice.randrange(256))
    return data


def _move(data: bytearray, dice: random.Random, other: bytes) -> bytearray:
    """Drop one, insert another: the length stays."""
    return _insert(_drop(data, dice, other), dice, other)


def _burst(data: bytearray, dice: random.Random, other: bytes) -> bytearray:
    at = dice.randrange(len(data))
    size = min(dice.randint(1, 16), len(data) - at)
    data[at : at + size] = dice.randbytes(size)
    return data


def _repeat(data: bytearray, dice: random.Random, other: bytes) -> bytearray:
    at = dice.randrange(len(data))
    data[at:at] = data[at : at + dice.randint(1, 4)]
    return data


def _cut(data: bytearray, dice: random.Random, other: bytes) -> bytearray:
    return data[: dice.randrange(len(data))]


def _splice(data: bytearray, dice: random.Random, other: bytes) -> bytearray:
    """The head of one frame and the tail of another."""
    return data[: dice.randrange(len(data))] + other[dice.randrange(len(other)) :]


def _garbage(data: bytearray, dice: random.Random, other: bytes) -> bytearray:
    return bytearray(dice.randbytes(dice.randint(1, 300)))


DAMAGES: tuple[Damage, ...] = (
    *(_flip, _drop, _insert, _move, _burst, _repeat, _cut, _splice, _garbage),
)


@dataclass
class FrameFuzz:
    """Feeds both decoders and compares what they deliver with what was sent."""

    core: Core
    seed: int
    damaged: int = 0
    """Frames sent that were damaged."""
    spared: int = 0
    """Of those, the ones of which only the zeros at the edges were hit: they are whole."""
    good: int = 0
    """Good frames sent, each behind a damaged one."""
    false_accepts: int = 0
    """Frames delivered that nobody sent."""
    lost: int = 0
    """Frames that were whole and did not come."""
    differences: int = 0
    """Batches in which the two decoders did not deliver the same."""
    decoder: Decoder = field(default_factory=lambda: Decoder(to_host=None))

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._kinds = sorted(SIZES)
        self.core.c.shim_receiver_reset()

    def run(self, frames: int) -> None:
        """Send that many damaged frames, in whole batches, and as many good ones."""
        for _ in range(-(-frames // BATCH)):
            self._batch()

    def _batch(self) -> None:
        stream, expected = bytearray(), []
        for _ in range(BATCH):
            bad, other, good = (self._frame() for _ in range(3))
            damage = self._dice.choice(DAMAGES)
            damaged = bytes(damage(bytearray(bad), self._dice, other))
            whole = {bad[1:-1], other[1:-1]}
            spared = [part for part in damaged.split(b"\x00") if part in whole]
            expected += [*spared, good[1:-1]]
            stream += damaged + good
            self.spared += len(spared)
        self.damaged += BATCH
        self.good += BATCH
        self._compare(bytes(stream), expected)

    def _frame(self) -> bytes:
        """Any message, either way, its payload at random."""
        kind, to_host = self._dice.choice(self._kinds)
        flags = FLAG_TO_HOST if to_host else 0
        packet = struct.pack("<BBH", kind, flags, self._dice.getrandbits(16))
        return wire.frame_bytes(packet + self._dice.randbytes(SIZES[kind, to_host]))

    def _compare(self, stream: bytes, expected: list[bytes]) -> None:
        python, c, at = [], [], 0
        while at < len(stream):
            piece = stream[at : at + self._dice.randint(1, 4000)]
            python += [frame.raw for frame in self.decoder.feed(piece)]
            c += [_raw(*frame) for frame in self.core.receive(piece)]
            at += len(piece)
        self.differences += python != c
        for found in {tuple(python), tuple(c)}:
            if list(found) != expected:
                self.false_accepts += len(set(found) - set(expected))
                self.lost += len(set(expected) - set(found))

    def summary(self) -> dict[str, int]:
        """The counts."""
        names = ("damaged", "spared", "good", "false_accepts", "lost", "differences")
        return {name: getattr(self, name) for name in names}


def _raw(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """The frame's bytes between its zeros, made again from what the C delivered."""
    packet = struct.pack("<BBH", kind, flags, sequence) + payload
    return wire.frame_bytes(packet)[1:-1]
