"""Whatever becomes of the bytes on the way, good frames arrive and each fate is counted exactly."""

from __future__ import annotations

import os
import pty
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.hil.journal.journal import JournalWriter, Kind, read_journal
from sparsectl.hil.journal.recorder import LiveRecorder
from sparsectl.hil.link.counters import Counters
from sparsectl.hil.link.link import Link
from sparsectl.protocol.wire import encode

FIRST = 65_500
"""Numbers wrap within a stream."""
LAST_TICK = 2**32 - 1
NOISE = st.binary(min_size=1, max_size=30).map(lambda noise: noise.replace(b"\x00", b"\x55"))


@dataclass(frozen=True)
class Fate:
    """What happens to one frame on its way."""

    noise: bytes | None
    """Garbage before it."""
    copies: int
    """0: lost."""
    flip: tuple[int, int] | None
    """A byte of it (by its part of the length, in 256ths) that is changed, and by what."""
    delay: int
    """Frames that overtake it."""


FATE = st.builds(
    Fate,
    noise=st.none() | NOISE,
    copies=st.sampled_from([1, 1, 1, 1, 0, 2, 3]),
    flip=st.none() | st.none() | st.tuples(st.integers(0, 255), st.integers(1, 255)),
    delay=st.sampled_from([0, 0, 0, 1, 5]),
)


def frame(number: int, tick: int) -> bytes:
    return encode("EVENT", number, to_host=True, tick=tick, time_us=0, previous=1, state=2, fault=0)


def flipped(content: bytes, flip: tuple[int, int]) -> bytes:
    """One byte between the delimiters changed, to anything but a delimiter."""
    at = 1 + flip[0] * (len(content) - 2) // 256
    changed = content[at] ^ flip[1] or content[at] ^ 1 or 2
    return content[:at] + bytes([changed]) + content[at + 1 :]


@dataclass
class Way:
    """A stream that came through, and what it must be counted as."""

    stream: bytes
    arrived: list[int]
    """Ticks of the good frames, in the order in which they come."""
    corrupt: int


def way_of(fates: list[Fate]) -> Way:
    """Send a first frame whole, one a fate, and a last one whole."""
    order = sorted(range(len(fates)), key=lambda tick: (tick + fates[tick].delay + 0.5, tick))
    way = Way(frame(FIRST, 0), [0], 0)
    for tick in order:
        fate = fates[tick]
        content = frame((FIRST + 1 + tick) & 0xFFFF, tick + 1)
        if fate.noise:
            way.stream += fate.noise + b"\x00"  # one piece, even where its frame is lost
            way.corrupt += 1
        if fate.flip and fate.copies:
            content = flipped(content, fate.flip)
            way.corrupt += fate.copies
        elif fate.copies:
            way.arrived += [tick + 1] * fate.copies
        way.stream += content * fate.copies
    way.stream += frame((FIRST + 1 + len(fates)) & 0xFFFF, LAST_TICK)
    way.arrived.append(len(fates) + 1)
    return way


def expected_counters(way: Way) -> dict[str, int]:
    """By sets, where the counters go by sequence numbers."""
    seen: set[int] = set()
    duplicate = late = 0
    for tick in way.arrived:
        duplicate += tick in seen
        late += tick not in seen and tick < max(seen, default=0)
        seen.add(tick)
    return {
        "received": len(way.arrived),
        "lost": max(way.arrived) + 1 - len(seen),
        "duplicate": duplicate,
        "late": late,
        "corrupt": way.corrupt,
    }


@contextmanager
def link_with_far_end(path: Path) -> Iterator[tuple[Link, int]]:
    far, near = pty.openpty()
    tty.setraw(near)
    try:
        with JournalWriter(path, {}) as journal:
            with Link(os.ttyname(near), 230400, LiveRecorder(journal)) as link:
                yield link, far
    finally:
        os.close(near)
        os.close(far)


@given(st.lists(FATE, max_size=40), st.lists(st.integers(1, 60), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_the_link_counts_every_fate(
    tmp_path_factory: pytest.TempPathFactory, fates: list[Fate], cuts: list[int]
) -> None:
    way = way_of(fates)
    path = tmp_path_factory.mktemp("way") / "journal.bin"
    heard: list[int] = []
    with link_with_far_end(path) as (link, far):
        rest = way.stream
        while rest:
            size = cuts[len(rest) % len(cuts)]
            os.write(far, rest[:size])
            rest = rest[size:]
        while not heard or heard[-1] != LAST_TICK:
            received = link.next_frame(5.0)
            assert received is not None, "the last frame, which was whole, did not come"
            heard.append(received.frame["tick"])
        counters = link.counters.to_json()
    assert heard[:-1] == way.arrived[:-1]
    assert counters == expected_counters(way)
    kept = [r for r in read_journal(path).records if r.kind is Kind.FROM_DEVICE]
    assert len(kept) == len(heard)


@given(st.integers(0, 65535), st.data())
def test_the_count_of_lost_frames_is_exact(first: int, data: st.DataObject) -> None:
    fates = data.draw(st.lists(st.sampled_from(["sent", "lost", "twice"]), min_size=1, max_size=99))
    counters = Counters()
    counters.take(first)
    for offset, fate in enumerate(fates, start=1):
        for _ in range({"sent": 1, "lost": 0, "twice": 2}[fate]):
            counters.take((first + offset) & 0xFFFF)
    counters.take((first + len(fates) + 1) & 0xFFFF)
    assert counters.lost == fates.count("lost")
    assert counters.duplicate == fates.count("twice")
    assert counters.late == 0
