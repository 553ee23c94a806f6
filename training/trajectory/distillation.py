"""A student of one logit for each observation and action, distilled along sampled trajectories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsectl.training.trajectory.grid_worlds import ENDING, MOVES, GridWorld
from sparsectl.training.trajectory.methods import Loss, Method, Reward

Array = NDArray[np.float64]

MOVE_COUNT = len(MOVES)
LONGEST = 2_000
"""Steps after which an episode is cut; at the chance of ending one in 5e8 is as long."""

TEACHERS_CROSS_ENTROPY = int(Loss.TEACHERS_CROSS_ENTROPY)
STUDENTS_CROSS_ENTROPY = int(Loss.STUDENTS_CROSS_ENTROPY)
LOG_TEACHER = int(Reward.LOG_TEACHER)
NEXT_CROSS_ENTROPY = int(Reward.NEXT_CROSS_ENTROPY)
NEXT_LOG_TEACHER = int(Reward.NEXT_LOG_TEACHER)
STUDENTS_CRITIC = int(Reward.TEACHERS_VALUE_STUDENTS_CRITIC)
TEACHERS_VALUE = int(Reward.TEACHERS_VALUE)
ENVIRONMENT = int(Reward.ENVIRONMENT)


def distilled(
    method: Method,
    world: GridWorld,
    teacher: Array,
    teachers_values: Array,
    rate: float,
    marks: Sequence[int],
    seed: int,
    critic_rate: float = 0.1,
) -> Array:
    """The student's probabilities [marks, S, A] after so many trajectories.

    Args:
        method: a row of the table.
        world: where trajectories are sampled.
        teacher: π, probabilities [S, A], none of them 0.
        teachers_values: V_π [S].
        rate: of the update along one trajectory.
        marks: numbers of trajectories, rising, after which the student is looked at.
        seed: of the sampling.
        critic_rate: of V_πθ by TD(0), where the method has it.
    """
    logits = np.zeros((world.observations, world.actions))
    students = np.empty((len(marks), world.observations, world.actions))
    _distil(
        logits,
        students,
        np.asarray(marks, np.int64),
        world.after,
        world.noise,
        world.reward,
        world.terminal,
        world.start,
        world.restarts,
        world.seen_as,
        teacher,
        np.log(teacher),
        teachers_values,
        method.student,
        method.teacher,
        int(method.loss),
        int(method.reward),
        rate,
        critic_rate,
        seed,
    )
    return students[:, world.seen_as]


@njit(cache=True)
def _softmax(logits, probabilities):  # type: ignore[no-untyped-def]
    largest = logits.max()
    total = 0.0
    for action in range(len(logits)):
        probabilities[action] = np.exp(logits[action] - largest)
        total += probabilities[action]
    for action in range(len(logits)):
        probabilities[action] /= total


@njit(cache=True)
def _drawn(probabilities):  # type: ignore[no-untyped-def]
    left = np.random.random()
    for action in range(len(probabilities) - 1):
        left -= probabilities[action]
        if left < 0:
            return action
    return len(probabilities) - 1


@njit(cache=True)
def _cross_entropy(one, other):  # type: ignore[no-untyped-def]
    total = 0.0
    for action in range(len(one)):
        total -= one[action] * np.log(max(other[action], 1e-300))
    return total


@njit(cache=True)
def _distil(  # type: ignore[no-untyped-def]
    logits,
    students,
    marks,
    after,
    noise,
    reward,
    terminal,
    start,
    restarts,
    seen_as,
    teacher,
    log_teacher,
    teachers_values,
    students_share,
    teachers_share,
    loss,
    kind,
    rate,
    critic_rate,
    seed,
):
    np.random.seed(seed)
    actions = logits.shape[1]
    at = np.empty(LONGEST + 1, np.int64)
    did = np.empty(LONGEST, np.int64)
    probabilities = np.empty((LONGEST + 1, actions))
    rewards = np.empty(LONGEST)
    critic = np.zeros(len(reward))
    even = np.full(actions, 1.0 / actions)
    mark = 0
    for trajectory in range(marks[-1] + 1):
        if trajectory == marks[mark]:
            for observation in range(len(logits)):
                _softmax(logits[observation], students[mark, observation])
            mark += 1
            if mark == len(marks):
                return
        # The trajectory, by a control policy that is drawn for all of it.
        who = np.random.random()
        state, steps, ended = start, 0, False
        at[0] = start
        while not ended and steps < LONGEST:
            _softmax(logits[seen_as[state]], probabilities[steps])
            if who < students_share:
                action = _drawn(probabilities[steps])
            elif who < students_share + teachers_share:
                action = _drawn(teacher[state])
            else:
                action = _drawn(even)
            move = np.random.randint(MOVE_COUNT) if np.random.random() < noise else action
            to = after[state, move]
            ended = np.random.random() < ENDING or (terminal[to] and not restarts)
            did[steps] = action
            rewards[steps] = reward[to]
            state = start if terminal[to] else to
            steps += 1
            at[steps] = state
        # Its update, from the last step back, so that what follows each step is summed once.
        following = 0.0
        for step in range(steps - 1, -1, -1):
            state, to, last = at[step], at[step + 1], step == steps - 1
            student = probabilities[step]
            term = 0.0
            if kind == LOG_TEACHER:
                term = log_teacher[state, did[step]]
            elif kind == NEXT_CROSS_ENTROPY and not last:
                term = -_cross_entropy(teacher[to], probabilities[step + 1])
            elif kind == NEXT_LOG_TEACHER and not last:
                term = log_teacher[to, did[step + 1]]
            elif kind == STUDENTS_CRITIC or kind == TEACHERS_VALUE:
                beyond = 0.0 if last else teachers_values[to]
                before = critic[state] if kind == STUDENTS_CRITIC else teachers_values[state]
                term = rewards[step] + beyond - before
            elif kind == ENVIRONMENT:
                term = rewards[step]
            following += term
            mean = 0.0  # of log π under the student
            if loss == STUDENTS_CROSS_ENTROPY:
                for action in range(actions):
                    mean += student[action] * log_teacher[state, action]
            row = logits[seen_as[state]]
            for action in range(actions):
                towards = (1.0 if action == did[step] else 0.0) - student[action]  # ∇ log π_θ
                gradient = -towards * following
                if loss == TEACHERS_CROSS_ENTROPY:
                    gradient += student[action] - teacher[state, action]
                elif loss == STUDENTS_CROSS_ENTROPY:
                    gradient -= student[action] * (log_teacher[state, action] - mean)
                row[action] -= rate * gradient
        if kind == STUDENTS_CRITIC:
            for step in range(steps - 1, -1, -1):
                beyond = 0.0 if step == steps - 1 else critic[at[step + 1]]
                critic[at[step]] += critic_rate * (rewards[step] + beyond - critic[at[step]])
