"""Measure the returns by which a distillation is controlled and a student is selected, if there is
an environment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.training.distillation.interim import doubled
from sparsectl.training.distillation.presets import Preset
from sparsectl.training.rollouts.episodes import Rollouts
from sparsectl.training.rollouts.intervals import Array, cvar, mean_interval, paired_difference
from sparsectl.training.rollouts.seeds import Series

LOGGED_EPISODES = 5
UNJUDGED_EPISODES = 40
"""Episodes of a student that cannot be the result: the first of those that the others run too."""
GROWTH = 4
"""Factor by which the episodes may grow, if a return is the target and fewer leave it open."""


def return_figures(returns: Array) -> dict[str, float]:
    """Return the mean return, and the means of the worst tenth and hundredth of the returns
    [episodes]."""
    return {
        "return_mean": float(returns.mean()),
        "return_worst_tenth": float(cvar(returns, 0.1)),
        "return_worst_hundredth": float(cvar(returns, 0.01)),
    }


class Measurement:
    """Runs policies in episodes that are always the same for the same purpose."""

    def __init__(
        self, rollouts: Rollouts | None, preset: Preset, teacher: ActingPolicy | None
    ) -> None:
        self.rollouts = rollouts
        self.episodes = preset.episodes
        self.final_episodes = preset.final_episodes
        self.teacher = teacher
        self._teacher: Array | None = None
        if teacher is not None and rollouts is not None:
            self._teacher = self._selection(teacher, self.episodes, "teacher")

    @property
    def teacher_return(self) -> float | None:
        """Return the teacher's mean return in the first selection episodes."""
        return None if self._teacher is None else float(self._teacher[: self.episodes].mean())

    def of_stage(
        self,
        policy: ActingPolicy,
        judged: bool = True,
        clear: Callable[[dict[str, float]], bool] = lambda figures: True,
    ) -> dict[str, float]:
        """Return the figures by which stages are compared: the same episodes for all of them.

        Args:
            policy: the student.
            judged: whether it may be the result; otherwise it runs only the first few episodes.
            clear: whether the figures suffice; until they do, more episodes follow, up to GROWTH
                times as many.

        Returns:
            dict: episodes, return_mean with its 95 % interval, means of the worst tenth and
            hundredth, and the difference from the teacher in the same episodes.
        """
        if self.rollouts is None:
            return {}
        least = self.episodes if judged else min(self.episodes, UNJUDGED_EPISODES)
        returns, figures = np.empty(0), dict[str, float]()
        for count in doubled(least, GROWTH * least if judged else least):
            returns = self._selection(policy, count, "measure", returns)
            figures = self._figures(returns)
            if clear(figures):
                break
        return figures

    def _figures(self, returns: Array) -> dict[str, float]:
        low, high = mean_interval(returns)
        figures = {"episodes": len(returns), "return_low": low, "return_high": high}
        figures |= return_figures(returns)
        if self._teacher is not None:
            if len(self._teacher) < len(returns):
                assert self.teacher is not None
                known = self._teacher
                self._teacher = self._selection(self.teacher, len(returns), "teacher", known)
            figures |= paired_difference(returns, self._teacher[: len(returns)])
        return figures

    def final(self, policy: ActingPolicy) -> dict[str, float]:
        """Return the figures by which the best are compared, in other episodes than those that
        selected them."""
        return return_figures(self._returns(policy, Series.FINALISTS, self.final_episodes, "final"))

    def logged(self, policy: ActingPolicy) -> dict[str, float]:
        """Run a few episodes, for TensorBoard."""
        if self.rollouts is None:
            return {}
        returns = self._returns(policy, Series.LOGGED, LOGGED_EPISODES, "logged")
        return {"return": float(returns.mean())}

    def _selection(
        self, policy: ActingPolicy, episodes: int, label: str, known: Array | None = None
    ) -> Array:
        """Return the returns of the first `episodes` selection episodes, some of which may be
        known."""
        known = np.empty(0) if known is None else known
        more = self._returns(
            policy, Series.SELECTION, episodes - len(known), label, first=len(known)
        )
        return np.concatenate([known, more])

    def _returns(
        self, policy: ActingPolicy, series: Series, episodes: int, label: str, first: int = 0
    ) -> Array:
        assert self.rollouts is not None
        found = self.rollouts.returns(policy, (series,), episodes, label, first)
        return found.astype(np.float64)
