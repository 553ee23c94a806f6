"""When the host computed a tick's command, as a record of the journal."""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass

_FORM = struct.Struct("<IQQ")


@dataclass(frozen=True, slots=True)
class Computation:
    """The time from taking up a tick to having its command."""

    tick: int
    start_ns: int
    """Start by the host's monotonic clock."""
    end_ns: int

    def pack(self) -> bytes:
        """Encode it for the journal."""
        return _FORM.pack(*astuple(self))

    @classmethod
    def parse(cls, payload: bytes) -> Computation:
        """Decode what `pack` returned."""
        return cls(*_FORM.unpack(payload))
