"""Compare teacher and finished student in the same episodes, none of which was used to select
anything.

If a share of the teacher's return is the target and the interval does not decide it, more episodes
follow, up to a limit. Each interim analysis is another chance to be wrong, so with L analyses each
has an interval of 1 - 0.05 / L (Bonferroni).
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.common.files import atomic_path
from sparsectl.common.progress import Progress
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.rollouts.block import Behaviour
from sparsectl.training.rollouts.episodes import Rollouts
from sparsectl.training.rollouts.intervals import (
    FAILED_SHARE,
    Array,
    cvar_figures,
    failure_figures,
    mean_interval,
    paired_difference,
    share_of,
)
from sparsectl.training.rollouts.seeds import Series

JSON = dict[str, Any]

WRONG = 0.05
"""Probability that the verdict on a return is wrong, over all analyses."""


def evidence_of(student: Array, teacher: Array | None, confidence: float = 0.95) -> JSON:
    """Return the figures of a student's returns [episodes], beside the teacher's in the same
    episodes.

    Returns:
        dict: episodes; return_mean with its 95 % interval; cvar_1, the mean of the worst hundredth,
        with its own. With a teacher: teacher_return_mean, teacher_cvar_1, the paired difference as
        a share of the teacher's mean with its interval of this confidence, and failures_per_1000,
        episodes that returned less than `failed_below`, three quarters of the teacher's mean.
    """
    low, high = mean_interval(student)
    figures: JSON = {
        "episodes": len(student),
        "return_mean": float(student.mean()),
        "return_low": low,
        "return_high": high,
        **cvar_figures(student),
    }
    if teacher is None:
        return figures
    mean = float(teacher.mean())
    least = share_of(FAILED_SHARE, mean)
    return figures | {
        "teacher_return_mean": mean,
        **paired_difference(student, teacher, confidence),
        "confidence": confidence,
        "failed_below": least,
        **failure_figures(student, least),
        "teacher_cvar_1": cvar_figures(teacher)["cvar_1"],
        "teacher_failures_per_1000": failure_figures(teacher, least)["failures_per_1000"],
    }


class Evidence:
    """Runs the episodes and keeps their returns in a file, so that a stopped run can continue.

    Args:
        rollouts: runs the policies.
        path: the file: returns of `student` and `teacher`, [episodes] each.
        student, teacher: the policies.
        layers: the student's weights, which identify the student that the file belongs to.
        stop: called between episodes; may raise.
    """

    def __init__(
        self,
        rollouts: Rollouts,
        path: Path,
        student: ActingPolicy,
        teacher: ActingPolicy | None,
        layers: Sequence[StudentLayer],
        stop: Callable[[], None],
    ) -> None:
        self._rollouts, self._path, self._stop = rollouts, path, stop
        self._policies = {"student": student}
        if teacher is not None:
            self._policies["teacher"] = teacher
        digest = hashlib.sha256(rollouts.environment.encode())
        digest.update((teacher.sha256 if teacher else "").encode())
        for layer in layers:
            digest.update(layer.mean.tobytes() + layer.bias.tobytes())
            digest.update(layer.kept(np.inf).tobytes())
        self._mark = digest.hexdigest()
        self._returns = self._kept()

    def gather(self, counts: Sequence[int], verdict: Callable[[JSON], bool]) -> JSON:
        """Run episodes until their number is one of `counts` and the figures suffice; return the
        figures.

        Args:
            counts: numbers of episodes, rising.
            verdict: whether figures suffice; the last ones do in any case.
        """
        confidence, figures = 1 - WRONG / len(counts), {}
        for count in counts:
            figures = evidence_of(*self._first(count), confidence)
            if verdict(figures):
                break
        return figures

    def _first(self, count: int) -> tuple[Array, Array | None]:
        try:
            for who, policy in self._policies.items():
                self._run(who, policy, count)
        finally:
            self._write()
        arrays = {who: np.array(values[:count]) for who, values in self._returns.items()}
        return arrays["student"], arrays.get("teacher")

    def _run(self, who: str, policy: ActingPolicy, count: int) -> None:
        returns = self._returns[who]
        have, wanted = len(returns), max(0, count - len(returns))
        episodes = self._rollouts.episodes(Behaviour(policy), (Series.EVIDENCE,), have, wanted)
        shown = Progress(
            total=count,
            initial=len(returns),
            desc=f"evidence, {who}",
            unit="ep",
            disable=not wanted,
        )
        with shown:
            for episode in episodes:
                returns.append(episode.episode_return)
                shown.update()
                self._stop()

    def _kept(self) -> dict[str, list[float]]:
        empty: dict[str, list[float]] = {who: [] for who in self._policies}
        try:
            with np.load(self._path, allow_pickle=False) as file:
                if str(file["mark"]) == self._mark:
                    return {who: [float(value) for value in file[who]] for who in self._policies}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
            pass  # none yet, or half a one: the episodes are run again
        return empty

    def _write(self) -> None:
        with atomic_path(self._path) as temporary, temporary.open("wb") as file:
            arrays: Any = {who: np.array(values) for who, values in self._returns.items()}
            np.savez(file, mark=np.array(self._mark), **arrays)
