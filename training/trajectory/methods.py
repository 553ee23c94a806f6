"""The methods of Czarnecki et al. (2019), table 1, a row each: who acts, a loss and a reward.

The update is θ ← θ − rate · Σ_t [−∇ log π_θ(a_t|s_t) Σ_{i≥t} r̂_i + ∇ℓ_t] along a trajectory of the
control policy q (equation 1). π is the teacher, π_θ the student, H×(p‖q) = −Σ_a p(a) log q(a).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final


class Loss(IntEnum):
    """ℓ_t, in the state where the student stands."""

    NONE = 0
    TEACHERS_CROSS_ENTROPY = 1
    """H×(π‖π_θ)."""
    STUDENTS_CROSS_ENTROPY = 2
    """H×(π_θ‖π)."""


class Reward(IntEnum):
    """r̂_i."""

    NONE = 0
    LOG_TEACHER = 1
    """log π(a_i|s_i)."""
    NEXT_CROSS_ENTROPY = 2
    """−H×(π‖π_θ) in s_{i+1}; nothing where the episode ends."""
    NEXT_LOG_TEACHER = 3
    """log π(a_{i+1}|s_{i+1}); nothing where the episode ends."""
    TEACHERS_VALUE_STUDENTS_CRITIC = 4
    """r_i + V_π(s_{i+1}) − V_πθ(s_i), the last from a critic that learns beside the student."""
    TEACHERS_VALUE = 5
    """r_i + V_π(s_{i+1}) − V_π(s_i): shaping by a potential (Ng et al. 1999)."""
    ENVIRONMENT = 6
    """r_i: plain policy gradient (Williams 1992), without a teacher."""


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        student: probability that the student, drawn for a whole episode, acts.
        teacher: that the teacher does; what is left of 1 acts evenly at random.
        loss: ℓ_t.
        reward: r̂_i.
        baseline: whether a critic's expectation of Σ_{i≥t} r̂_i, learnt beside the student, is taken
            from it: the expected update is the same (Williams 1992) and its variance smaller.
        summed: whether R̂_t is Σ_{i≥t} r̂_i as in the paper, or r̂_t alone.
    """

    student: float
    teacher: float
    loss: Loss
    reward: Reward
    baseline: bool = False
    summed: bool = True


METHODS: Final = {
    "teacher distill": Method(0, 1, Loss.TEACHERS_CROSS_ENTROPY, Reward.NONE),
    "on-policy distill": Method(1, 0, Loss.TEACHERS_CROSS_ENTROPY, Reward.NONE),
    "entropy regularised": Method(1, 0, Loss.NONE, Reward.LOG_TEACHER),
    "N-distill": Method(1, 0, Loss.TEACHERS_CROSS_ENTROPY, Reward.NEXT_CROSS_ENTROPY),
    "expected entropy regularised": Method(
        1, 0, Loss.STUDENTS_CROSS_ENTROPY, Reward.NEXT_LOG_TEACHER
    ),
    "teacher V reward": Method(1, 0, Loss.NONE, Reward.TEACHERS_VALUE_STUDENTS_CRITIC),
}
"""Table 1."""

OTHERS: Final = {
    "mixture distill": Method(0.5, 0.5, Loss.TEACHERS_CROSS_ENTROPY, Reward.NONE),
    "uniform distill": Method(0, 0, Loss.TEACHERS_CROSS_ENTROPY, Reward.NONE),
    "teacher V shaping": Method(1, 0, Loss.NONE, Reward.TEACHERS_VALUE),
    "teacher V, one step": Method(
        1, 0, Loss.NONE, Reward.TEACHERS_VALUE_STUDENTS_CRITIC, summed=False
    ),
    "policy gradient": Method(1, 0, Loss.NONE, Reward.ENVIRONMENT),
}
"""Other control policies for the first row, two other readings of the last, and no teacher.

Summed, the reward −V_π leaves the return less V_π(s_t), a baseline, and follows the gradient of the
expected return, which the paper names as the last row's objective; the reward −V_πθ also pays for
every state where the teacher is thought to be worth more than the student. One step alone makes
V_πθ a baseline instead, and the student improves on the teacher as if that took over afterwards
(Ross and Bagnell 2014).
"""

WITH_CRITIC: Final = {
    f"{name}, critic": replace((METHODS | OTHERS)[name], baseline=True)
    for name in (
        "entropy regularised",
        "N-distill",
        "expected entropy regularised",
        "policy gradient",
    )
}
"""Rewards summed along an episode, less what a critic expects of them."""

ALL: Final = METHODS | OTHERS | WITH_CRITIC
