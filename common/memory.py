"""Report the free memory, and refuse work that needs more."""

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
    """Return the bytes that a process can allocate without swapping, as Linux reports them; on
    other systems, all of the machine's memory."""
    if MEMINFO.is_file() and (found := re.search(r"MemAvailable:\s+(\d+) kB", MEMINFO.read_text())):
        return int(found.group(1)) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(needed: int, settings: str, mend: str) -> None:
    """Check that `needed` bytes of memory are free.

    Args:
        needed: the memory that the work takes, in bytes.
        settings: the settings that determine it, with their values, for the message.
        mend: how to need less, for the message.

    Raises:
        UserError: less memory is free.
    """
    free = free_bytes()
    if needed > free:
        raise UserError(
            f"{settings}: that takes {needed / 2**30:,.1f} GiB of memory, {free / 2**30:,.1f} GiB "
            f"are free; {mend}"
        )


def dense_parameters(sizes: Sequence[int]) -> int:
    """Count the weights and biases of a dense network with layers of these sizes, inputs first."""
    return sum((into + 1) * out for into, out in pairwise(sizes))
