"""Distil a student with one logit for each observation and action, along sampled trajectories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsectl.training.trajectory.grid_worlds import MOVES, GridWorld
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
NO_REWARD = int(Reward.NONE)


def distilled(
    method: Method,
    world: GridWorld,
    teacher: Array,
    teachers_values: Array,
    rate: float,
    marks: Sequence[int],
    seed: int,
    critic_rate: float = 0.1,
    segment: int | None = None,
) -> Array:
    """Return the student's probabilities [marks, S, A] after these numbers of trajectories.

    Args:
        method: a row of the table.
        world: world in which trajectories are sampled.
        teacher: π, probabilities [S, A], none of them 0.
        teachers_values: V_π [S].
        rate: step size of the update along one trajectory.
        marks: numbers of trajectories, ascending, after which the student is recorded.
        seed: seed of the sampling.
        critic_rate: step size of TD(0) for V_πθ, and for a baseline, if the method has it.
        segment: number of steps between two updates, if episodes never end; the next trajectory
            begins where the last one stopped.
    """
    logits = np.zeros((world.observations, world.actions))
    students = np.empty((len(marks), world.observations, world.actions))
    _distil(
        logits,
        students,
        np.asarray(marks, np.int64),
        world.after,
        world.noise,
        world.ending,
        segment or 0,
        world.reward,
        world.terminal,
        world.start,
        world.restarts,
        world.seen_as,
        teacher,
        np.log(teacher),
        np.cumsum(teacher, axis=1),
        teachers_values,
        float(method.student),
        float(method.teacher),
        int(method.loss),
        int(method.reward),
        method.baseline,
        method.summed,
        rate,
        critic_rate,
        np.random.default_rng(seed),
    )
    return students[:, world.seen_as]


@njit(cache=True)
def _uniform(random):  # type: ignore[no-untyped-def]
    return random.random()


@njit(cache=True)
def _softmax(logits, row, probabilities, sums):  # type: ignore[no-untyped-def]
    """Compute the softmax of a row, with the running sums that an action is drawn by; return log Σ
    exp."""
    actions = logits.shape[1]
    largest = logits[row, 0]
    for action in range(1, actions):
        largest = max(largest, logits[row, action])
    total = 0.0
    for action in range(actions):
        probabilities[row, action] = np.exp(logits[row, action] - largest)
        total += probabilities[row, action]
    sum_so_far = 0.0
    for action in range(actions):
        probabilities[row, action] /= total
        sum_so_far += probabilities[row, action]
        sums[row, action] = sum_so_far
    return largest + np.log(total)


@njit(cache=True)
def _drawn(sums, row, random):  # type: ignore[no-untyped-def]
    """Return the first action whose running sum is above a number drawn from [0, 1)."""
    wanted = _uniform(random)
    low, high = 0, sums.shape[1] - 1
    while low < high:
        middle = (low + high) // 2
        if wanted < sums[row, middle]:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True)
def _trials(chance, random):  # type: ignore[no-untyped-def]
    """Draw how many trials fail before one of this chance succeeds; this is one draw in place of
    many."""
    if chance <= 0.0:
        return LONGEST
    return min(int(np.log(1.0 - _uniform(random)) / np.log(1.0 - chance)), LONGEST)


@njit(cache=True)
def _distil(  # type: ignore[no-untyped-def]
    logits,
    students,
    marks,
    after,
    noise,
    ending,
    segment,
    reward,
    terminal,
    start,
    restarts,
    seen_as,
    teacher,
    log_teacher,
    teachers_sums,
    teachers_values,
    students_share,
    teachers_share,
    loss,
    kind,
    baseline,
    summed,
    rate,
    critic_rate,
    random,
):
    states, actions = len(reward), logits.shape[1]
    at = np.empty(LONGEST + 1, np.int64)
    did = np.empty(LONGEST, np.int64)
    rewards = np.empty(LONGEST)
    # The student changes between trajectories alone, and only where the last one has been: what
    # follows from its logits is kept and renewed there.
    probabilities, sums = np.empty(logits.shape), np.empty(logits.shape)
    log_sums = np.empty(len(logits))
    for observation in range(len(logits)):
        log_sums[observation] = _softmax(logits, observation, probabilities, sums)
    critic = np.zeros(states)
    last_met = np.full(states, -1)
    met = np.empty(states, np.int64)
    visits, following_sum, cross_entropy = np.zeros(states), np.zeros(states), np.zeros(states)
    mark, state = 0, start
    for trajectory in range(marks[-1] + 1):
        if trajectory == marks[mark]:
            for observation in range(len(logits)):
                for action in range(actions):
                    students[mark, observation, action] = probabilities[observation, action]
            mark += 1
            if mark == len(marks):
                return
        # The trajectory, by a control policy that is drawn for all of it.
        who = _uniform(random)
        until_noise = _trials(noise, random)
        longest = segment if segment else min(1 + _trials(ending, random), LONGEST)
        if not segment:
            state = start
        steps, ended, different = 0, False, 0
        at[0] = state
        while not ended:
            if last_met[state] != trajectory:
                last_met[state] = trajectory
                met[different] = state
                different += 1
                visits[state] = 0.0
                following_sum[state] = 0.0
                if kind == NEXT_CROSS_ENTROPY:
                    observation = seen_as[state]
                    total = log_sums[observation]
                    for action in range(actions):
                        total -= teacher[state, action] * logits[observation, action]
                    cross_entropy[state] = total
            visits[state] += 1.0
            if who < students_share:
                action = _drawn(sums, seen_as[state], random)
            elif who < students_share + teachers_share:
                action = _drawn(teachers_sums, state, random)
            else:
                action = int(_uniform(random) * actions)
            move = action
            if until_noise == 0:
                move = int(_uniform(random) * MOVE_COUNT)
                until_noise = _trials(noise, random)
            else:
                until_noise -= 1
            to = after[state, move]
            did[steps] = action
            rewards[steps] = reward[to]
            ended = steps + 1 == longest or (terminal[to] and not restarts)
            state = start if terminal[to] else to
            steps += 1
            at[steps] = state
        # Its update, from the last step back, so that what follows each step is summed once.
        if kind != NO_REWARD:
            following = 0.0
            for step in range(steps - 1, -1, -1):
                state, to, last = at[step], at[step + 1], step == steps - 1
                term = 0.0
                if kind == LOG_TEACHER:
                    term = log_teacher[state, did[step]]
                elif kind == NEXT_CROSS_ENTROPY:
                    term = 0.0 if last else -cross_entropy[to]
                elif kind == NEXT_LOG_TEACHER:
                    term = 0.0 if last else log_teacher[to, did[step + 1]]
                elif kind == STUDENTS_CRITIC or kind == TEACHERS_VALUE:
                    beyond = 0.0 if last else teachers_values[to]
                    before = critic[state] if kind == STUDENTS_CRITIC else teachers_values[state]
                    term = rewards[step] + beyond - before
                elif kind == ENVIRONMENT:
                    term = rewards[step]
                following = following + term if summed else term
                weight = following - critic[state] if baseline else following
                # −∇ log π_θ is −1 at what was done, here, and π_θ everywhere, below.
                logits[seen_as[state], did[step]] += rate * weight
                following_sum[state] += weight
                if baseline:
                    rewards[step] = following
        for number in range(different):
            state = met[number]
            observation = seen_as[state]
            often, sum_there = visits[state], following_sum[state]
            mean = 0.0  # of log π under the student
            if loss == STUDENTS_CROSS_ENTROPY:
                for action in range(actions):
                    mean += probabilities[observation, action] * log_teacher[state, action]
            for action in range(actions):
                chance = probabilities[observation, action]
                gradient = chance * sum_there
                if loss == TEACHERS_CROSS_ENTROPY:
                    gradient += often * (chance - teacher[state, action])
                elif loss == STUDENTS_CROSS_ENTROPY:
                    gradient -= often * chance * (log_teacher[state, action] - mean)
                logits[observation, action] -= rate * gradient
        for number in range(different):
            observation = seen_as[met[number]]
            log_sums[observation] = _softmax(logits, observation, probabilities, sums)
        if kind == STUDENTS_CRITIC:
            for step in range(steps - 1, -1, -1):
                beyond = 0.0 if step == steps - 1 else critic[at[step + 1]]
                critic[at[step]] += critic_rate * (rewards[step] + beyond - critic[at[step]])
        elif baseline:
            for step in range(steps):
                critic[at[step]] += critic_rate * (rewards[step] - critic[at[step]])
