"""Rounds of student-driven data: the student acts, the teacher says what it would have done.

A teacher's own episodes never show the states that a student's mistakes lead to. Adding those, with
the teacher's action as the label, is DAgger (Ross, Gordon, Bagnell 2011).
"""

from __future__ import annotations

from training.config import DaggerSettings
from training.dataset import Dataset
from training.policy import Policy
from training.rollouts import DAGGER, Behaviour, Rollouts


def student_driven(
    student: Policy,
    teacher: Policy,
    rollouts: Rollouts,
    settings: DaggerSettings,
    seed: int,
    number: int,
) -> Dataset:
    """Transitions of round `number`; they follow from the arguments alone, as resuming needs."""
    behaviour = Behaviour(student, teacher, settings.noise, settings.noise_fraction)
    series = (DAGGER, seed, number)
    return rollouts.transitions(behaviour, series, settings.transitions, f"round {number}")
