"""Compute timing figures: percentiles of intervals, jitter, and the noise floor of the machine."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsectl.hil.timing.scheduling import raise_priority

Percentiles = dict[str, float]

MIN_WAKE_UPS = 20
"""The least number of wake-ups that a noise floor measures, even if its trial ended at once."""


def percentiles(values: ArrayLike) -> Percentiles | None:
    """`{"p50", "p99", "max"}` of the values, in their unit; None when there are none.

    p50 and p99 are values that occurred (no interpolation), so a max of 1 in 50 is a p99 too.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return None
    middle, tail = np.percentile(data, [50, 99], method="higher")
    return {
        "p50": round(float(middle), 3),
        "p99": round(float(tail), 3),
        "max": round(float(data.max()), 3),
    }


def intervals(
    times_us: NDArray[np.int64], ticks: NDArray[np.int64], skipped: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the periods in us from each tick to the next that ran.

    A deadline that the board skipped makes a long period; a tick whose frame was lost makes none,
    since nothing is known about it.

    Args:
        times_us: sampling times.
        ticks: numbers of the ticks.
        skipped: the board's count of skipped ticks, modulo 65536.
    """
    neighbours = np.diff(ticks) - 1 == np.diff(skipped) & 0xFFFF
    return np.asarray(np.diff(times_us)[neighbours], dtype=np.float64)


class NoiseFloor:
    """Measures, beside a trial, how late this machine wakes a process that only sleeps.

    A child process of its own sleeps to absolute deadlines, so this program's threads do not
    disturb the figure. A control loop on the same machine cannot be expected to do better.
    """

    def __init__(self, period_us: int, as_virtual_rig: bool = False, fifo: bool = False) -> None:
        """Start measuring, with the priority of the loop that this measurement represents."""
        self._child = subprocess.Popen(
            [sys.executable, "-m", "sparsectl.hil.timing.percentiles", str(period_us)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the trial, which then ends this child
        )
        if as_virtual_rig or fifo:
            raise_priority(self._child.pid, fifo)

    def finish(self) -> Percentiles | None:
        """End the measurement; return the lateness in us."""
        if self._child.returncode is not None:
            return None
        try:
            output, _ = self._child.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
            return None
        return percentiles(json.loads(output)) if output else None

    def __enter__(self) -> NoiseFloor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._child.returncode is None:
            self._child.kill()
            self._child.communicate()


def measure_wake_up(period_us: int, until_closed: int) -> list[float]:
    """Return the lateness in us of each wake-up at `period_us`, until the descriptor's other end
    closes."""
    poller = select.poll()
    poller.register(until_closed, select.POLLIN)
    lateness: list[float] = []
    deadline_ns = time.monotonic_ns()
    while len(lateness) < MIN_WAKE_UPS or not poller.poll(0):
        deadline_ns += period_us * 1000
        # time.sleep sleeps to an absolute CLOCK_MONOTONIC deadline in CPython 3.11
        time.sleep(max(0.0, (deadline_ns - time.monotonic_ns()) * 1e-9))
        now_ns = time.monotonic_ns()
        lateness.append((now_ns - deadline_ns) / 1000)
        deadline_ns = max(deadline_ns, now_ns - period_us * 1000)
    return lateness


def _main() -> None:
    """Measure until the trial closes our input; a killed trial expects no answer."""
    answer = json.dumps(measure_wake_up(int(sys.argv[1]), sys.stdin.fileno()))
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), answer.encode())


if __name__ == "__main__":
    _main()
