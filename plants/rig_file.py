"""A rig's TOML file, read as it is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError


def read_table(path: Path) -> dict[str, Any]:
    """The table of a rig's file, of which nothing has been checked.

    Raises:
        UserError: not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a rig file: {error}; fix that line") from error
