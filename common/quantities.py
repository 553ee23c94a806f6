"""Parse sizes as people write them: 8K, 1.5K, 300."""

from __future__ import annotations

import re
from typing import Annotated, Final

from tyro.constructors import PrimitiveConstructorSpec

from sparsectl.common.errors import UserError

_SUFFIXES: Final = {"": 1, "K": 1024, "M": 1024 * 1024}
MOST: Final = 2.0**62
"""No size is as large."""


def bytes_from(text: str) -> int:
    """Return the bytes that `text` means: a number, optionally followed by K (1024) or M (1024 *
    1024).

    Raises:
        ValueError: the text is not a size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KM]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f"{text!r} is not a size; write 8K, 1.5K or 300")
    size = float(found.group(1)) * _SUFFIXES[found.group(2).upper()]
    if not size < MOST:
        raise ValueError(f"{text[:60]!r} is more than any memory has; write 8K, 1.5K or 300")
    return int(size)


def _size(text: str) -> int:
    try:
        return bytes_from(text)
    except ValueError as error:
        raise UserError(str(error)) from error  # tyro would show its own insides


Size = Annotated[
    int,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="BYTES",
        instance_from_str=lambda words: _size(words[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    ),
]
"""Bytes; on the command line also 8K."""
