"""Where a result came from: enough to make it again."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent.parent


@cache
def revision() -> str:
    """The source tree's git revision, with "+" when files differ from it; "unknown" outside git."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + ("+" if changed else "")


def provenance() -> dict[str, Any]:
    """Version, revision, Python, machine and command line of the running program, as JSON."""
    return {
        "sparsectl": metadata.version("sparsectl"),
        "revision": revision(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def _git(*arguments: str) -> str:
    result = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(SOURCE), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return result.stdout.strip()
