"""Tell a pole that does not swing up from one whose encoder is not connected."""

from __future__ import annotations

from typing import Final

from sparsectl.hil.journal.trace import Sample

FLICKER: Final = 2
"""Counts by which an encoder with a dead channel may go to and fro."""


class SilentPole:
    """Notices a pole whose count never left its place while the base moved: its encoder is not
    connected. The board stops such a run as STUCK_POLE, but where the base moves so little that a
    free pole could stand still."""

    def __init__(self) -> None:
        self._first: Sample | None = None
        self._pole = self._base = 0

    def take(self, sample: Sample) -> None:
        """Take a tick in which the motor was driven."""
        first = self._first = self._first or sample
        self._pole = max(self._pole, abs(sample.pole_count - first.pole_count))
        self._base = max(self._base, abs(sample.base_count - first.base_count))

    @property
    def explanation(self) -> str:
        """Why the pole seems to hang; empty if the pole moved, or the base did not."""
        if self._pole > FLICKER or self._base <= FLICKER:
            return ""
        return (
            f"while the base moved by {self._base} counts, the pole's encoder counted "
            f"{self._pole}; look at its plug, its supply and both of its channels"
        )
