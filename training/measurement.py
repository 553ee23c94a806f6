"""The returns that steer and judge a distillation, where there is an environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsectl.training.evaluate import mean_interval
from sparsectl.training.networks import Array
from sparsectl.training.policy import Policy
from sparsectl.training.presets import Preset
from sparsectl.training.rollouts import MEASURE, Rollouts

LOGGED_EPISODES = 5
UNJUDGED_EPISODES = 10


def return_figures(returns: Array) -> dict[str, float]:
    """Mean, least, and means of the worst tenth and hundredth of the returns [episodes]."""
    upwards = np.sort(returns)

    def worst(share: int) -> float:
        return float(upwards[: max(1, len(returns) // share)].mean())

    return {
        "return_mean": float(returns.mean()),
        "return_min": float(returns.min()),
        "return_worst_tenth": worst(10),
        "return_worst_hundredth": worst(100),
    }


class Measurement:
    """Episodes of policies: always the same ones for the same purpose."""

    def __init__(self, rollouts: Rollouts | None, preset: Preset, evidence_episodes: int) -> None:
        self.rollouts = rollouts
        self.episodes = preset.episodes
        self.final_episodes = preset.final_episodes
        self.evidence_episodes = evidence_episodes

    def of_stage(self, policy: Policy, judged: bool = True) -> dict[str, float]:
        """What the choice among stages goes by; one that cannot be the one gets fewer episodes."""
        if self.rollouts is None:
            return {}
        episodes = self.episodes if judged else min(self.episodes, UNJUDGED_EPISODES)
        return return_figures(self.rollouts.returns(policy, (MEASURE, 0), episodes, "measure"))

    def final(self, policy: Policy) -> dict[str, float]:
        """What the choice among the best goes by, in other episodes than brought them there."""
        assert self.rollouts is not None
        returns = self.rollouts.returns(policy, (MEASURE, 3), self.final_episodes, "final")
        return return_figures(returns)

    def logged(self, policy: Policy) -> dict[str, float]:
        """A few episodes, for TensorBoard."""
        if self.rollouts is None:
            return {}
        returns = self.rollouts.returns(policy, (MEASURE, 1), LOGGED_EPISODES)
        return {"return": float(returns.mean())}

    def of_teacher(self, teacher: Policy | None) -> dict[str, float] | None:
        """The teacher's, in the episodes that the choice goes by."""
        if teacher is None or self.rollouts is None:
            return None
        return self.of_stage(teacher)

    def evidence(self, policy: Policy) -> dict[str, Any]:
        """Of the finished student, with a 95 % interval, in episodes that chose nothing."""
        if self.rollouts is None:
            return {}
        count = self.evidence_episodes
        returns = self.rollouts.returns(policy, (MEASURE, 2), count, "evidence")
        low, high = mean_interval(returns.astype(np.float64))
        interval = {"return_low": low, "return_high": high, "episodes": count}
        return {"evidence": return_figures(returns) | interval}
