"""Configurations of the commands that join several packages. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DemoConfig:
    """The whole pipeline on the pendulum: teacher, student, C, firmware, trial, report."""

    rig: str = "sensorsini_cartpole"
    """A rig that comes with a teacher: sensorsini_cartpole or qube_servo2."""
    out: Path = Path("runs/demo")
    """Folder of the run. An unfinished run there is taken up where it stopped."""
    seed: int = 0
    """Seed of dataset, student and trial."""
    seconds: float = 30.0
    """How long the trial balances, in seconds."""
    episodes: int = 100
    """Episodes that compare teacher and student."""


@dataclass(frozen=True)
class DoctorConfig:
    """Say what is installed, what is missing and the command that gets it."""
