"""Determine when a recurrent policy's state was reset, by the rule that board and host share.

No frame reports it, and none has to: the rule depends only on what the frames of the ticks contain
(firmware/core/policy_memory.h of `firmware_host`; docs/journal.md states it in words).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sparsectl.hil.journal.journal import Journal
from sparsectl.hil.journal.trace import read_samples
from sparsectl.protocol.wire import State


@dataclass(frozen=True)
class StateReset:
    """The state was reset before the policy was called for this tick."""

    tick: int
    time_us: int
    """Device clock at sampling; in processor-in-the-loop mode the simulated plant's clock."""
    why: str


class ResetWatch:
    """Takes each tick in order and returns the resets while the policy drove the motor. What
    happens before does not matter: taking over is a reset."""

    def __init__(self) -> None:
        self._state = int(State.SAFE)

    def take(self, tick: int, time_us: int, state: int, missing: int) -> StateReset | None:
        """Add a tick; return the reset at it, None if there was none.

        Args:
            tick: its number.
            time_us: when it was sampled.
            state: the safety state after its sampling.
            missing: ticks between this one and the one before that the policy was called for.
        """
        before, self._state = self._state, state
        if state != State.ACTIVE:
            return None
        if before != State.ACTIVE:
            return StateReset(tick, time_us, "took over the motor")
        if missing > 0:
            ticks = "1 tick" if missing == 1 else f"{missing} ticks"
            return StateReset(tick, time_us, f"{ticks} missing")
        return None


def state_resets(journal: Journal) -> list[StateReset]:
    """Return the resets while the policy drove the motor, oldest first; for a policy without a
    state, those that one with a state would have had.

    A tick whose frame was lost cannot be examined: in device mode, a reset there is reported at the
    next tick.
    """
    watch = ResetWatch()
    ticks = _observed(journal) if journal.header.config.mode == "host" else _run(journal)
    return [found for each in ticks if (found := watch.take(*each)) is not None]


def _run(journal: Journal) -> Iterator[tuple[int, int, int, int]]:
    """Find the resets of the board's own policy, tick by tick, as `ResetWatch.take` takes them."""
    skipped: int | None = None
    for sample in read_samples(journal):
        missing = 0 if skipped is None else (sample.skipped - skipped) & 0xFFFF
        skipped = sample.skipped
        yield sample.tick, sample.time_us, sample.state, missing


def _observed(journal: Journal) -> Iterator[tuple[int, int, int, int]]:
    """Find the resets of the host's policy, which is called for each OBSERVATION that the host
    receives."""
    last: int | None = None
    for _, frame in journal.frames:
        if frame.name == "OBSERVATION" and frame["tick"] != last:
            tick = frame["tick"]
            missing = 0 if last is None else max(0, tick - last - 1)
            last = tick
            yield tick, frame["sample_time_us"], frame["state"], missing
