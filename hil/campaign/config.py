"""What `sparsectl trial` is asked: one trial, or a campaign of them. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from sparsectl.hil.config import TrialConfig


@dataclass(frozen=True)
class TrialCommand(TrialConfig):
    """Run a policy on a pendulum, hardware or virtual, and account for every tick.

    With --repeat: a campaign of trials, each with a seed of its own. With --compare A B: both
    policies on the same seeds, until it is clear which is better.
    """

    policy: Path = Path("policy")
    """Folder that `sparsectl export` wrote: policy.onnx and the C files."""
    repeat: int = 1
    """Trials, each with the next seed; a campaign that was killed goes on where it stopped."""
    compare: tuple[Path, Path] | None = None
    """Two policies' folders in place of --policy: paired trials, at most --repeat of each."""
    margin: float = 0.02
    """A campaign that compares also stops once the scores differ by less than this."""

    def one(self, **changes: object) -> TrialConfig:
        """The config of one trial of these."""
        own = {field.name: getattr(self, field.name) for field in fields(TrialConfig)}
        return TrialConfig(**{**own, **changes})
