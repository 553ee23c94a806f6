"""Settings of `sparsectl trial`: one trial, or a campaign. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from sparsectl.hil.config import TrialConfig


@dataclass(frozen=True)
class TrialCommand(TrialConfig):
    """Run a policy on a real or virtual pendulum, and account for every tick.

    With --repeat, run a campaign of trials, each with its own seed. With --compare A B, run both
    policies with the same seeds until it is clear which one is better.
    """

    policy: Path = Path("policy")
    """Folder that `sparsectl export` wrote: policy.onnx and the C files. Or any-cartpole or
    any-furuta, policies that come with sparsectl, for cart-poles and rotary pendulums whose masses
    nobody knows; they need --rig. Or a student.safetensors, such as `adapt` writes, which is
    exported first."""
    repeat: int = 1
    """Number of trials, each with the next seed; a campaign that was killed resumes."""
    compare: tuple[Path, Path] | None = None
    """Folders of two policies, instead of --policy: run paired trials, at most --repeat of each."""
    margin: float = 0.02
    """With --compare, also stop once the scores are known to differ by less than this."""

    def one(self, **changes: object) -> TrialConfig:
        """Return the config of one trial of these."""
        own = {field.name: getattr(self, field.name) for field in fields(TrialConfig)}
        return TrialConfig(**{**own, **changes})
