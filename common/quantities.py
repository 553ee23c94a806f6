"""Sizes as people write them: 8K, 1.5K, 300."""

from __future__ import annotations

import re
from typing import Final

_SUFFIXES: Final = {"": 1, "K": 1024, "M": 1024 * 1024}


def bytes_from(text: str) -> int:
    """Bytes that `text` means: a number, with K or M for 1024 or 1024 * 1024 of them.

    Raises:
        ValueError: it is no such thing.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KM]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f"{text!r} is no size; write 8K, 1.5K or 300")
    return int(float(found.group(1)) * _SUFFIXES[found.group(2).upper()])
