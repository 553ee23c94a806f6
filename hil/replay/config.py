"""What a replay is asked to do. Imports nothing heavy: `--help` reads this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class ReplayConfig:
    """Run a journal again through policy and safety logic; name the first tick that differs."""

    journal: Positional[Path]
    """A trial's journal.bin, or its folder."""
    policy: Path | None = None
    """Folder that `sparsectl export` wrote; by default the one that the trial ran."""
    trust_policy: bool = False
    """Run C that no hash vouches for: of a journal made before journals named them."""
