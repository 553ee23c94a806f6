"""Settings of a replay. Imports nothing heavy: `--help` reads this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class ReplayConfig:
    """Replay a journal through the policy and the safety logic, and name the first tick that
    differs."""

    journal: Positional[Path]
    """A trial's journal.bin, or its folder."""
    policy: Path | None = None
    """Folder that `sparsectl export` wrote; by default the one that was used in the trial."""
    trust_policy: bool = False
    """Run C without a hash to check it against, for journals of releases that recorded none."""
