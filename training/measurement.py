"""The returns that steer and choose in a distillation, where there is an environment."""

from __future__ import annotations

import numpy as np

from sparsectl.training.intervals import Array, cvar, mean_interval, paired_difference
from sparsectl.training.policy import Policy
from sparsectl.training.presets import Preset
from sparsectl.training.rollouts import Rollouts
from sparsectl.training.seeds import Series

LOGGED_EPISODES = 5
UNJUDGED_EPISODES = 40
"""Of a student that cannot be the result; the first of those that the others meet too."""


def return_figures(returns: Array) -> dict[str, float]:
    """Mean return, and means of the worst tenth and hundredth of the returns [episodes]."""
    return {
        "return_mean": float(returns.mean()),
        "return_worst_tenth": float(cvar(returns, 0.1)),
        "return_worst_hundredth": float(cvar(returns, 0.01)),
    }


class Measurement:
    """Episodes of policies: always the same ones for the same purpose."""

    def __init__(self, rollouts: Rollouts | None, preset: Preset, teacher: Policy | None) -> None:
        self.rollouts = rollouts
        self.episodes = preset.episodes
        self.final_episodes = preset.final_episodes
        self._teacher: Array | None = None
        if teacher is not None and rollouts is not None:
            self._teacher = self._returns(teacher, Series.SELECTION, self.episodes, "teacher")

    @property
    def teacher_return(self) -> float | None:
        """The teacher's mean return in the episodes that choose."""
        return None if self._teacher is None else float(self._teacher.mean())

    def of_stage(self, policy: Policy, judged: bool = True) -> dict[str, float]:
        """What the choice among stages goes by; one that cannot be the one gets fewer episodes.

        Returns:
            dict: episodes, return_mean with its 95 % interval, means of the worst tenth and
            hundredth, and the difference from the teacher in the same episodes.
        """
        if self.rollouts is None:
            return {}
        episodes = self.episodes if judged else min(self.episodes, UNJUDGED_EPISODES)
        returns = self._returns(policy, Series.SELECTION, episodes, "measure")
        low, high = mean_interval(returns)
        figures = {"episodes": episodes, "return_low": low, "return_high": high}
        figures |= return_figures(returns)
        if self._teacher is not None:
            figures |= paired_difference(returns, self._teacher[:episodes])
        return figures

    def final(self, policy: Policy) -> dict[str, float]:
        """What the choice among the best goes by, in other episodes than brought them there."""
        return return_figures(self._returns(policy, Series.FINALISTS, self.final_episodes, "final"))

    def logged(self, policy: Policy) -> dict[str, float]:
        """A few episodes, for TensorBoard."""
        if self.rollouts is None:
            return {}
        returns = self._returns(policy, Series.LOGGED, LOGGED_EPISODES, "logged")
        return {"return": float(returns.mean())}

    def _returns(self, policy: Policy, series: Series, episodes: int, label: str) -> Array:
        assert self.rollouts is not None
        return self.rollouts.returns(policy, (series,), episodes, label).astype(np.float64)
