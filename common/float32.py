"""Round to float32, the numbers of the firmware, of the wire and of most policies."""

from __future__ import annotations

import struct


def float32(value: float) -> float:
    """Return the nearest number that a float32 holds, as a C compiler rounds it and as the wire
    carries it.

    Raises:
        OverflowError: the value is finite and beyond all of them.
    """
    return float(struct.unpack("<f", struct.pack("<f", value))[0])
