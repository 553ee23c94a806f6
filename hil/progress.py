"""The bar that a person watches while the pole swings up and stands."""

from __future__ import annotations

from tqdm import tqdm

from firmware_host.wire import State
from hil.samples import Sample


class Progress:
    """A bar of the seconds balanced, with angle and phase, on a terminal's stderr."""

    EVERY_US = 100_000

    def __init__(self, seconds: float) -> None:
        self._bar = tqdm(
            total=seconds,
            disable=None,
            bar_format="{desc} {bar} {n:.1f}/{total:.0f} s {postfix}",
            desc="swing up",
        )
        self._shown_us = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, sample: Sample, captured_us: int | None, angle_rad: float) -> None:
        """Draw, at most ten times a second of the board's clock."""
        if sample.time_us - self._shown_us < self.EVERY_US:
            return
        self._shown_us = sample.time_us
        self._bar.set_postfix_str(
            f"{angle_rad * 57.29578:+7.1f}° duty {sample.duty:+.2f} {State(sample.state).name}",
            refresh=False,
        )
        if captured_us is not None:
            self._bar.set_description_str("balance ", refresh=False)
            self._bar.n = min((sample.time_us - captured_us) * 1e-6, self._bar.total or 0)
        self._bar.refresh()
