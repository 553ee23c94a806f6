"""Record where a result came from, so that it can be made again."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent.parent
RESULTS = ":(exclude)benchmarks/results"


@cache
def revision() -> str:
    """Return the git revision of the source tree, with "+" if files differ from it; "unknown"
    outside git.

    Results that are not committed yet change nothing that runs: one benchmark after another can
    write its own.
    """
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", RESULTS)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + ("+" if changed else "")


def provenance() -> dict[str, Any]:
    """Return version, revision, Python, machine and command line of this process, as JSON."""
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
