"""What became of the frames from the device, told by their sequence numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

REMEMBERED = 1024
"""Sequence numbers of lost frames that may still come late."""


@dataclass
class Counters:
    """Frames received, lost, come twice, come late; and corrupt ones, which have no number."""

    received: int = 0
    lost: int = 0
    duplicate: int = 0
    late: int = 0
    corrupt: int = 0
    _expected: int | None = field(default=None, repr=False)
    _missing: dict[int, None] = field(default_factory=dict, repr=False)

    def take(self, sequence: int) -> None:
        """Count a frame by its sequence number, which the board raises by one a frame."""
        self.received += 1
        expected = sequence if self._expected is None else self._expected
        ahead = (sequence - expected) & 0xFFFF
        if ahead < 0x8000:
            self.lost += ahead
            for offset in range(max(0, ahead - REMEMBERED), ahead):
                self._missing[(expected + offset) & 0xFFFF] = None
            self._forget()
            self._expected = (sequence + 1) & 0xFFFF
        elif sequence in self._missing:
            del self._missing[sequence]
            self.lost -= 1
            self.late += 1
        else:
            self.duplicate += 1

    def to_json(self) -> dict[str, int]:
        """The counts as plain JSON."""
        return {key: value for key, value in asdict(self).items() if not key.startswith("_")}

    def _forget(self) -> None:
        while len(self._missing) > REMEMBERED:
            del self._missing[next(iter(self._missing))]
