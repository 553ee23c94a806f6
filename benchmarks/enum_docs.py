"""What the docstrings below an enum's members say."""

from __future__ import annotations

import inspect
import re
from enum import IntEnum


def member_docs(enum: type[IntEnum]) -> dict[str, str]:
    """Name of a member → its docstring on one line; Python itself does not keep them."""
    pattern = r"^    (\w+) = \d+\n    \"\"\"(.*?)\"\"\""
    found = re.findall(pattern, inspect.getsource(enum), re.M | re.S)
    return {name: " ".join(doc.split()) for name, doc in found}
