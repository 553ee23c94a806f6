"""One control tick as the host knows it, and all ticks of a trial as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.hil.journal.journal import Journal
from sparsectl.protocol.wire import PROTOCOL_HASH, Frame

BALANCED_RAD = 0.2
"""Within this angle of upright the pole counts as balanced."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A control tick: what the board measured and did, and when the host received it."""

    tick: int
    time_us: int
    """Device clock at sampling; in processor-in-the-loop mode the simulated plant's clock."""
    host_ns: int
    base_count: int
    pole_count: int
    duty: float
    policy_output: float
    inference_ns: int
    actuation_us: int
    """Time from sampling to the motor's new duty; 0 in processor-in-the-loop mode."""
    lateness_us: int
    state: int
    fault: int
    skipped: int
    receive_us: int = 0
    """Host mode: time from sampling to reading the COMMAND; 0 without one."""

    @classmethod
    def from_tick(cls, frame: Frame, host_ns: int) -> Sample:
        """Make the sample of a TICK frame."""
        values = dict(frame.values)
        return cls(time_us=values.pop("sample_time_us"), host_ns=host_ns, **values)

    @classmethod
    def from_act(cls, frame: Frame, host_ns: int, time_us: int, counts: tuple[int, int]) -> Sample:
        """Make the sample that a PLANT_ACT frame completes."""
        base_count, pole_count = counts
        return cls(
            time_us=time_us,
            host_ns=host_ns,
            base_count=base_count,
            pole_count=pole_count,
            actuation_us=0,
            lateness_us=0,
            skipped=0,
            **frame.values,
        )

    def angle_rad(self, pole_rad_per_count: float) -> float:
        """Return the pole's angle within -π and π, 0 upright; count 0 is hanging."""
        return math.remainder(math.pi + self.pole_count * pole_rad_per_count, 2 * math.pi)


@dataclass(frozen=True)
class Trace:
    """All ticks of a trial, one array entry per tick; units as in `Sample`, positions in SI."""

    tick: NDArray[np.int64]
    time_us: NDArray[np.int64]
    host_ns: NDArray[np.int64]
    base_position: NDArray[np.float64]
    base_velocity: NDArray[np.float64]
    pole_angle_rad: NDArray[np.float64]
    pole_velocity: NDArray[np.float64]
    duty: NDArray[np.float64]
    policy_output: NDArray[np.float64]
    inference_ns: NDArray[np.int64]
    actuation_us: NDArray[np.int64]
    lateness_us: NDArray[np.int64]
    state: NDArray[np.int64]
    fault: NDArray[np.int64]
    skipped: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.tick.size)


def make_trace(
    samples: Sequence[Sample], base_unit_per_count: float, pole_rad_per_count: float
) -> Trace:
    """Stack samples; a velocity is the difference of neighbouring counts divided by the time
    between them."""

    def column(name: str) -> NDArray[np.int64]:
        return np.array([getattr(sample, name) for sample in samples], dtype=np.int64)

    time_us, base, pole = column("time_us"), column("base_count"), column("pole_count")
    elapsed_s = np.maximum(np.diff(time_us, prepend=time_us[:1]), 1) * 1e-6
    angle_rad = np.pi + pole * pole_rad_per_count
    return Trace(
        tick=column("tick"),
        time_us=time_us,
        host_ns=column("host_ns"),
        base_position=np.asarray(base * base_unit_per_count, dtype=np.float64),
        base_velocity=np.diff(base, prepend=base[:1]) * base_unit_per_count / elapsed_s,
        pole_angle_rad=np.remainder(angle_rad + np.pi, 2 * np.pi) - np.pi,
        pole_velocity=np.diff(pole, prepend=pole[:1]) * pole_rad_per_count / elapsed_s,
        duty=np.array([sample.duty for sample in samples], dtype=np.float64),
        policy_output=np.array([sample.policy_output for sample in samples], dtype=np.float64),
        inference_ns=column("inference_ns"),
        actuation_us=column("actuation_us"),
        lateness_us=column("lateness_us"),
        state=column("state"),
        fault=column("fault"),
        skipped=column("skipped"),
    )


def require_protocol(journal: Journal, path: Path) -> None:
    """Check that the journal's frames use this version's message table.

    Raises:
        UserError: they use another; the message names the version that wrote them.
    """
    spoken = journal.header_json.get("protocol_hash")
    if spoken != PROTOCOL_HASH:
        origin = journal.header_json.get("provenance", {})
        named = "none named" if spoken is None else f"{spoken:08x}"
        raise UserError(
            f"{path} holds frames of another message table "
            f"({named}, this is {PROTOCOL_HASH:08x}); "
            f"read it with sparsectl {origin.get('sparsectl', '?')}, revision "
            f"{origin.get('revision', 'unknown')}"
        )


def read_trace(journal: Journal) -> Trace:
    """Return the ticks of a journal: TICK frames, or PLANT_STEP paired with PLANT_ACT."""
    rig = journal.header.rig_constants
    return make_trace(read_samples(journal), rig.base_unit_per_count, rig.pole_rad_per_count)


def read_samples(journal: Journal) -> list[Sample]:
    """Return the ticks of a journal in order, each once."""
    # in pil a board that was configured before may still send TICKs of its own
    wanted = "PLANT_ACT" if journal.header.is_pil else "TICK"
    return list(_samples(journal, journal.header.rig_constants.period_us, wanted))


def _samples(journal: Journal, period_us: int, wanted: str) -> Iterator[Sample]:
    steps: dict[int, tuple[int, int]] = {}
    seen = -1
    for record, frame in journal.frames:
        if frame.name == "PLANT_STEP" and not frame.to_host:
            steps[frame["tick"]] = (frame["base_count"], frame["pole_count"])
        elif frame.name == wanted and frame["tick"] > seen:
            seen = frame["tick"]  # a repeated answer is the same tick
            if frame.name == "TICK":
                yield Sample.from_tick(frame, record.host_ns)
            elif seen in steps:
                yield Sample.from_act(frame, record.host_ns, seen * period_us, steps[seen])
