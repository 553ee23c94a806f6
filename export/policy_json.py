"""Write and read policy.json: the facts about an exported folder, and the hash of every file in
it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, write_json
from sparsectl.export.naming import DEFAULT, check_prefix
from sparsectl.policy.folder import POLICY_JSON, read_policy_json

PREFIX = "prefix"
"""The key for the prefix of the names in the C."""
FORMAT, VERSION = "sparsectl.policy", 1


def write_policy_json(folder: Path, description: dict[str, Any], files: Iterable[Path]) -> Path:
    """Write `description` with the SHA-256 of `files`, all of which are in `folder`. This is the
    last file of an export: if it exists, the others are complete."""
    path = folder / POLICY_JSON
    head = {"format": FORMAT, "version": VERSION}
    write_json(path, head | description | {"files": file_hashes(folder, files)})
    return path


def prefix_of(folder: Path) -> str:
    """Return the prefix of the names in an exported folder's C; of any other folder, the
    default."""
    try:
        said = read_policy_json(folder) or {}
        prefix = said.get(PREFIX, DEFAULT)
        check_prefix(prefix if isinstance(prefix, str) else "")
    except UserError:
        return DEFAULT
    return str(prefix)


def known_ranges(folder: Path, digest: str) -> list[tuple[float, float, str]]:
    """Return the ranges of the signals in a folder's policy.json: low, high and their source for
    each; none if there is no such file or it belongs to another policy."""
    path = folder / POLICY_JSON
    said = read_json(path) if path.is_file() else {}
    if not isinstance(said, dict) or said.get("digest") != digest:
        return []
    try:
        found = [(float(i["low"]), float(i["high"]), str(i["from"])) for i in said["inputs"]]
    except (KeyError, TypeError, ValueError):
        return []
    return found if all(math.isfinite(low) and low <= high for low, high, _ in found) else []


def file_hashes(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Map each path inside `folder`, with /, to its SHA-256 in 64 hexadecimal digits; policy.json
    is left out."""
    inside = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(inside.items())
        if name != POLICY_JSON
    }
