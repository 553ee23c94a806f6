"""When the host computed a tick's command: a record of the journal."""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass

_FORM = struct.Struct("<IQQ")


@dataclass(frozen=True, slots=True)
class Computation:
    """From the moment that the host took up a tick to the one that its answer was known."""

    tick: int
    start_ns: int
    """By the host's monotonic clock."""
    end_ns: int

    def pack(self) -> bytes:
        """As the journal keeps it."""
        return _FORM.pack(*astuple(self))

    @classmethod
    def parse(cls, payload: bytes) -> Computation:
        """The inverse of `pack`."""
        return cls(*_FORM.unpack(payload))
