"""The progress bar of a trial, while the pole swings up and is balanced."""

from __future__ import annotations

import sys
import threading
from typing import IO, NoReturn

from tqdm import tqdm

from sparsectl.hil.journal.trace import Sample
from sparsectl.protocol.wire import State


class Progress:
    """A bar of the seconds balanced, with angle and phase, on a terminal's stderr.

    It is drawn by a separate thread: a terminal that accepts nothing (Ctrl-S, a stalled network)
    must not delay the control loop, which the board would take for a lost host.
    """

    EVERY_S = 0.1
    END_TIMEOUT_S = 0.5

    def __init__(self, seconds: float, file: IO[str] | None = None) -> None:
        self._seconds, self._file = seconds, file or sys.stderr
        self._shown: tuple[Sample, int | None, float] | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        if self._file.isatty():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join(self.END_TIMEOUT_S)

    def show(self, sample: Sample, captured_us: int | None, angle_rad: float) -> None:
        """Set what the bar shows, without waiting."""
        self._shown = sample, captured_us, angle_rad

    def _run(self) -> None:
        form = "{desc} {bar} {n:.1f}/{total:.0f} s {postfix}"
        with tqdm(total=self._seconds, bar_format=form, desc="swing up", file=self._file) as bar:
            while not self._done.wait(self.EVERY_S):
                self._draw(bar)
            self._draw(bar)

    def _draw(self, bar: tqdm[NoReturn]) -> None:
        if self._shown is None:
            return
        sample, captured_us, angle_rad = self._shown
        bar.set_postfix_str(
            f"{angle_rad * 57.29578:+7.1f}° duty {sample.duty:+.2f} {State(sample.state).name}",
            refresh=False,
        )
        if captured_us is not None:
            bar.set_description_str("balance ", refresh=False)
            bar.n = min((sample.time_us - captured_us) * 1e-6, self._seconds)
        bar.refresh()
