"""policy.json: what an exported folder says of itself, and the hash of every file in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sparsectl.common.files import read_json, write_json

POLICY_JSON = "policy.json"
FORMAT, VERSION = "sparsectl.policy", 1


def write_policy_json(folder: Path, description: dict[str, Any], files: Iterable[Path]) -> Path:
    """Write `description` with the SHA-256 of `files`, all of which lie in `folder`, as the last
    file of an export: where it is there, the others are whole."""
    path = folder / POLICY_JSON
    head = {"format": FORMAT, "version": VERSION}
    write_json(path, head | description | {"files": file_hashes(folder, files)})
    return path


def seal_again(folder: Path, files: Iterable[Path]) -> Path:
    """Write the hashes anew after files were moved; the rest stays."""
    return write_policy_json(folder, read_json(folder / POLICY_JSON), files)


def file_hashes(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Path inside `folder`, with /, to SHA-256 in 64 hexadecimal digits; policy.json has none."""
    inside = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(inside.items())
        if name != POLICY_JSON
    }
