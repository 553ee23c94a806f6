"""Count the frames from the device by their sequence numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

REMEMBERED = 1024
"""How many sequence numbers of lost frames are remembered, since they may arrive late."""


@dataclass
class Counters:
    """Counts of frames: received, lost, duplicate and late; and corrupt ones, which have no
    sequence number."""

    received: int = 0
    lost: int = 0
    duplicate: int = 0
    late: int = 0
    corrupt: int = 0
    _expected: int | None = field(default=None, repr=False)
    _missing: dict[int, None] = field(default_factory=dict, repr=False)

    def take(self, sequence: int) -> None:
        """Count a frame by its sequence number, which the board increases by one per frame."""
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
        """Return the counts as plain JSON."""
        return {key: value for key, value in asdict(self).items() if not key.startswith("_")}

    def _forget(self) -> None:
        while len(self._missing) > REMEMBERED:
            del self._missing[next(iter(self._missing))]
