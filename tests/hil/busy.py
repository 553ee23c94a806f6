"""Real time on a machine that others use too."""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from sparsectl.common.errors import UserError

TRIES: Final = 8
CALM_TRIES: Final = 3
"""How often the same may happen while the machine was calm: then it is a defect."""
LATE = re.compile(
    r"COMMAND_LATE in each of|LINK_LOST|OVERRUN|vanished \(hang-up\)|has sent nothing for|"
    r"does not answer|this program itself did not run|did not complete \w+ in|"
    r"nothing heard from it for|on its way to the middle: COMMAND_LATE"
)
"""What a program says that its machine did not run in time; a defect may say the same, but then it
does so on a calm machine too."""
PRESSURE: Final = Path("/proc/pressure/cpu")
MOST_PRESSURE: Final = 0.05
"""Share of the time in which some process of a calm machine waits for a processor, at most."""
MOST_OVERSLEEP_S: Final = 0.02
"""By which a thread that sleeps oversleeps on a calm machine, at most."""

Result = TypeVar("Result")


class Machine:
    """Watches, while the context lasts, how late this machine is."""

    def __enter__(self) -> Machine:
        self.oversleep_s = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sleep, daemon=True)
        self._start_s, self._waited_s = time.monotonic(), _waited_s()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        took_s, before_s, after_s = time.monotonic() - self._start_s, self._waited_s, _waited_s()
        known = before_s is not None and after_s is not None
        self.pressure = (after_s - before_s) / took_s if known else None

    @property
    def was_calm(self) -> bool:
        """Whether nothing shows that it was late; a system that keeps no record shows it."""
        calm = self.pressure is not None and self.pressure <= MOST_PRESSURE
        return calm and self.oversleep_s <= MOST_OVERSLEEP_S

    def __str__(self) -> str:
        share = "unknown" if self.pressure is None else f"{self.pressure:.0%} of the time"
        return f"waits for a processor: {share}, overslept by {self.oversleep_s * 1e3:.0f} ms"

    def _sleep(self) -> None:
        while not self._done.is_set():
            before_s = time.monotonic()
            time.sleep(0.005)
            self.oversleep_s = max(self.oversleep_s, time.monotonic() - before_s - 0.005)


def _waited_s() -> float | None:
    """Seconds in which some process waited for a processor, since boot; None if nobody counts."""
    try:
        return int(PRESSURE.read_text().splitlines()[0].rpartition("total=")[2]) * 1e-6
    except (OSError, ValueError, IndexError):
        return None


def in_real_time(run: Callable[[int], Result]) -> Result:
    """Return what `run` returns; where the machine was late for it, try again, up to `TRIES` times.

    Each try that was cut short, and how late the machine was, stands in the warnings of the tests.

    Args:
        run: takes the number of the try, from 0; what a try leaves must not be in the next one's
            way.

    Raises:
        AssertionError: every try was cut short, or some for the same reason on a calm machine.
        UserError: what `run` raises for any other reason.
    """
    why: list[str] = []
    when_calm: Counter[str] = Counter()
    for number in range(TRIES):
        machine = Machine()
        try:
            with machine:
                return run(number)
        except UserError as error:
            reason = LATE.search(str(error))
            if not reason:
                raise
            why.append(str(error))
            warnings.warn(f"try {number} was cut short ({machine}): {error}", stacklevel=2)
            when_calm[reason[0]] += machine.was_calm
            if when_calm[reason[0]] >= CALM_TRIES:
                raise AssertionError(
                    f"{reason[0]!r} {CALM_TRIES} times on a calm machine: {why}"
                ) from error
    raise AssertionError(f"cut short in each of {TRIES} tries: {why}")
