"""The memory that is free, and refusals of what would take more."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from sparsectl.common.errors import UserError

MEMINFO: Final = Path("/proc/meminfo")


def free_bytes() -> int:
    """Bytes that a process could have without swapping, as Linux says; elsewhere all there are."""
    if MEMINFO.is_file() and (found := re.search(r"MemAvailable:\s+(\d+) kB", MEMINFO.read_text())):
        return int(found.group(1)) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(needed: int, told: str, mend: str) -> None:
    """See that so many bytes are free.

    Args:
        needed: bytes.
        told: the settings that decide it, with their values.
        mend: what takes less.

    Raises:
        UserError: they are not.
    """
    free = free_bytes()
    if needed > free:
        raise UserError(
            f"{told}: that takes {needed / 2**30:,.1f} GiB of memory, {free / 2**30:,.1f} GiB are "
            f"free; {mend}"
        )


def dense_parameters(sizes: Sequence[int]) -> int:
    """Weights and biases of a network with layers of those sizes, inputs first."""
    return sum((into + 1) * out for into, out in pairwise(sizes))
