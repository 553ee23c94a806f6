"""What `sparsectl build` and `sparsectl bench` are asked to do. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class BuildConfig:
    """Compile an exported policy into a board's firmware."""

    policy: Positional[Path]
    """Folder that `sparsectl export` wrote: policy.c, policy.h, policy_vectors.h."""
    board: str = "host"
    """Name in the board registry; host is a process on a pty."""
    rig: str | None = None
    """Rig name or parameter file (TOML); by default the one that the policy names."""
    out: Path | None = None
    """Folder of the firmware; by default firmware/ beside the policy's folder."""


@dataclass(frozen=True)
class BenchConfig:
    """Measure an exported policy on a board: time, flash, RAM, stack, error."""

    policy: Positional[Path]
    """Folder that `sparsectl export` wrote: policy.c, policy.h, policy_vectors.h."""
    board: str = "host"
    """Name in the board registry."""
    runs: int = 2000
    """Timed calls of the policy where time is measured by a clock; the least counts."""
    flash: int | None = None
    """Refuse a policy that takes more flash, in bytes."""
    ram: int | None = None
    """Refuse a policy that takes more RAM, its stack included, in bytes."""
    cycles: int | None = None
    """Refuse a policy that takes more cycles a call."""
    error: float | None = None
    """Refuse a policy whose actions are further than this from the golden vectors'."""
