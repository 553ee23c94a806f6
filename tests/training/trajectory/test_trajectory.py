"""Tabular distillation: sampled updates are the gradients of table 1, evaluation is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sparsectl.training.trajectory.distillation import distilled
from sparsectl.training.trajectory.evaluation import (
    average_reward,
    divergence,
    expected_return,
    values,
    visits,
)
from sparsectl.training.trajectory.grid_worlds import (
    ENDING,
    GridWorld,
    corridor,
    random_world,
)
from sparsectl.training.trajectory.methods import ALL, METHODS, Reward
from sparsectl.training.trajectory.q_learning import noisy_greedy, q_learning
from sparsectl.training.trajectory.two_colours import (
    followed,
    n_distill,
    on_policy,
    orbit_constant,
)


def some_teacher(world: GridWorld) -> np.ndarray:
    logits = np.random.default_rng(1).normal(size=(world.states, world.actions))
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def expected_loss(name: str, world: GridWorld, teacher: np.ndarray, logits: torch.Tensor):
    """The last column of table 1, by solving the chain, differentiable in the logits [S, A]."""
    policy = torch.softmax(logits, dim=1)
    pi = torch.tensor(teacher)
    cost = {
        "teacher distill": -(pi * policy.log()).sum(dim=1),
        "entropy regularised": -(policy * pi.log()).sum(dim=1),
        "N-distill": -(pi * policy.log()).sum(dim=1),
        "expected entropy regularised": -(policy * pi.log()).sum(dim=1),
        "teacher V shaping": None,
        "policy gradient": None,
    }[name]
    acting = pi if name == "teacher distill" else policy
    eye = torch.eye(world.states, dtype=torch.float64)
    moved = torch.tensor(np.eye(world.states)[world.after])  # [S, A, S]
    entering = (1 - world.noise) * (acting[:, :, None] * moved).sum(dim=1)
    entering = entering + world.noise * moved.mean(dim=1)
    if cost is None:
        cost = -(entering @ torch.tensor(world.reward))
    terminal = torch.tensor(world.terminal, dtype=torch.float64)
    there = (1 - ENDING) * entering * (1 - terminal)
    if world.restarts:
        again = (1 - ENDING) * (entering * terminal).sum(dim=1)
        there = there + again[:, None] * eye[world.start][None, :]
    return torch.linalg.solve(eye - there, cost)[world.start]


@pytest.mark.parametrize(
    ("name", "restarts"),
    [
        ("teacher distill", True),  # rewards over a hundred steps would drown in sampling noise
        ("teacher distill", False),
        ("entropy regularised", False),
        ("N-distill", False),
        ("expected entropy regularised", False),
        ("teacher V shaping", False),
        ("policy gradient", False),
        ("N-distill, critic", False),
        ("policy gradient, critic", False),
    ],
)
def test_the_mean_update_is_the_gradient_of_the_papers_loss(name: str, restarts: bool) -> None:
    world = replace(corridor(5, noise=0.1), restarts=restarts)
    teacher = some_teacher(world)
    rate, number = 1e-10, 3000
    updates = []
    for seed in range(30):
        student = distilled(
            ALL[name], world, teacher, values(world, teacher), rate, [number], seed
        )[0]
        logits = np.log(student) - np.log(student).mean(axis=1, keepdims=True)
        updates.append(-logits / (rate * number))
    start = torch.zeros(world.states, world.actions, dtype=torch.float64, requires_grad=True)
    expected_loss(name.removesuffix(", critic"), world, teacher, start).backward()
    assert start.grad is not None
    exact = start.grad.numpy()
    error = np.std(updates, axis=0, ddof=1) / np.sqrt(len(updates))
    assert (np.abs(np.mean(updates, axis=0) - exact) <= 5 * error + 1e-6).all()
    assert np.abs(exact).max() > 5 * error.max()  # the noise would not hide another gradient


def test_values_are_those_of_sampled_episodes() -> None:
    world = corridor(6, noise=0.2)
    policy = some_teacher(world)
    random = np.random.default_rng(0)
    returns = []
    for _ in range(300):
        state, total = world.start, 0.0
        while True:
            action = random.choice(world.actions, p=policy[state])
            move = random.integers(4) if random.random() < world.noise else action
            to = world.after[state, move]
            total += world.reward[to]
            state = world.start if world.terminal[to] else to
            if random.random() < ENDING:
                break
        returns.append(total)
    error = np.std(returns) / np.sqrt(len(returns))
    assert abs(np.mean(returns) - expected_return(world, policy)) < 5 * error
    assert visits(world, policy).sum() == pytest.approx(1 / ENDING)


def dense_chain(world: GridWorld, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chances of entering [S, S], and of standing there next with the episode not over [S, S]."""
    moved = np.eye(world.states)[world.after]
    entering = (1 - world.noise) * (policy[:, :, None] * moved).sum(axis=1)
    entering += world.noise * moved[:, :4].mean(axis=1)
    there = (1 - world.ending) * entering
    to_start = there[:, world.terminal].sum(axis=1)
    there[:, world.terminal] = 0
    if world.restarts:
        there[:, world.start] += to_start
    return entering, there


@pytest.mark.parametrize("restarts", [True, False])
@pytest.mark.parametrize("actions", [4, 12])
def test_the_band_is_solved_as_the_whole_matrix_is(restarts: bool, actions: int) -> None:
    random = np.random.default_rng(3)
    for drawn in (corridor(9, noise=0.1), random_world(random, side=7), random_world(random)):
        world = replace(drawn, restarts=restarts).with_actions(actions)
        policy = random.dirichlet(np.full(actions, 0.3), size=world.states)
        entering, there = dense_chain(world, policy)
        matrix = np.eye(world.states) - there
        wanted = np.linalg.solve(matrix, entering @ world.reward)
        np.testing.assert_allclose(values(world, policy), wanted, rtol=1e-9, atol=1e-9)
        begin = np.eye(world.states)[world.start]
        often = np.linalg.solve(matrix.T, begin)
        np.testing.assert_allclose(visits(world, policy), often, rtol=1e-9, atol=1e-9)


def test_an_average_reward_is_that_of_the_stationary_chain() -> None:
    world = replace(corridor(7, noise=0.2), ending=0.0)
    policy = some_teacher(world)
    entering, there = dense_chain(world, policy)
    shares = np.linalg.matrix_power(there, 4096)[world.start]
    assert average_reward(world, policy) == pytest.approx(shares @ entering @ world.reward, 1e-4)


def test_q_learning_walks_a_corridor_to_its_goal() -> None:
    world = corridor()
    q = q_learning(world, seed=0, transitions=50_000, optimism=0.0)
    assert (q[world.start : -1].argmax(axis=1) == 1).all()
    teacher = noisy_greedy(q, 0.1)
    np.testing.assert_allclose(teacher.sum(axis=1), 1)


@pytest.mark.parametrize(
    "name", [name for name in ALL if name not in ("teacher V reward", "uniform distill")]
)
def test_a_student_does_what_it_is_for(name: str) -> None:
    world = replace(corridor(), restarts=False)
    teacher = noisy_greedy(np.eye(4)[np.ones(world.states, int)], 0.1)  # it goes right
    rate = 0.1 if ALL[name].reward == Reward.NONE else 3e-3
    students = distilled(ALL[name], world, teacher, values(world, teacher), rate, [0, 5000], seed=1)
    even, end = (expected_return(world, student) for student in students)
    assert even == pytest.approx(expected_return(world, np.full((11, 4), 0.25)))
    assert end > 0.9 * expected_return(world, teacher)
    if ALL[name].reward == Reward.NONE:
        assert divergence(world, teacher, students[1], teacher) < 0.01


def test_a_teachers_value_beside_the_students_critic_rewards_not_ending() -> None:
    world = replace(corridor(), restarts=False)
    teacher = noisy_greedy(np.eye(4)[np.ones(world.states, int)], 0.1)
    student = distilled(
        ALL["teacher V reward"], world, teacher, values(world, teacher), 3e-3, [5000], seed=1
    )[0]
    assert visits(world, student).sum() > 50 > 10 > visits(world, teacher).sum()


def test_a_critic_makes_updates_vary_less() -> None:
    world = replace(corridor(), restarts=False)
    teacher = noisy_greedy(np.eye(4)[np.ones(world.states, int)], 0.1)
    value = values(world, teacher)
    spread = {}
    for name in ("entropy regularised", "entropy regularised, critic"):
        students = [
            distilled(ALL[name], world, teacher, value, 1e-9, [3000], seed) for seed in range(20)
        ]
        spread[name] = np.std(np.log(students), axis=0)[0, world.start].sum()
    assert spread["entropy regularised, critic"] < 0.85 * spread["entropy regularised"]


def test_one_step_of_a_teachers_value_improves_on_a_noisy_teacher() -> None:
    world = replace(corridor(), restarts=False)
    teacher = noisy_greedy(np.eye(4)[np.ones(world.states, int)], 0.5)
    student = distilled(
        ALL["teacher V, one step"], world, teacher, values(world, teacher), 0.01, [3000], seed=1
    )[0]
    assert expected_return(world, student) > expected_return(world, teacher) + 0.1


def test_a_task_without_end_goes_on_where_the_last_update_was() -> None:
    world = replace(corridor(), ending=0.0)
    teacher = noisy_greedy(np.eye(4)[np.ones(world.states, int)], 0.1)
    value = values(replace(world, ending=ENDING), teacher)
    student = distilled(
        ALL["on-policy distill"], world, teacher, value, 0.3, [3000], seed=1, segment=2
    )[0]
    assert average_reward(world, student) == pytest.approx(average_reward(world, teacher), 0.05)
    begun_anew = distilled(
        ALL["on-policy distill"], replace(world, ending=1.0), teacher, value, 0.3, [3000], seed=1
    )[0]
    # An episode of one step never leaves the start's cell, so that nothing is learnt beyond it.
    assert (begun_anew[world.start + 1] == 0.25).all()
    assert student[world.start + 3].argmax() == 1


def test_states_that_look_alike_are_one_to_the_student() -> None:
    world = random_world(np.random.default_rng(0), side=8, view=1)
    assert world.observations < world.states
    teacher = some_teacher(world)
    student = distilled(
        METHODS["on-policy distill"], world, teacher, values(world, teacher), 0.1, [200], seed=0
    )[0]
    for seen in range(world.observations):
        alike = student[world.seen_as == seen]
        assert (alike == alike[0]).all()


def test_more_actions_move_as_the_four_do() -> None:
    world = random_world(np.random.default_rng(0), side=6)
    many = world.with_actions(12)
    assert many.actions == 12
    even = expected_return(world, np.full((36, 4), 1 / 4))
    assert expected_return(many, np.full((36, 12), 1 / 12)) == pytest.approx(even)


def test_on_policy_distillation_circles_and_n_distill_settles() -> None:
    start = np.array([0.5, 0.1])
    circle = followed(on_policy, start, rate=1e-3, steps=60_000)
    kept = np.array([orbit_constant(point) for point in circle[::1000]])
    assert np.ptp(kept) < 1e-2 * kept[0]
    turned = np.unwrap(np.arctan2(circle[:, 1], circle[:, 0]))
    assert abs(turned[-1] - turned[0]) > 4 * np.pi
    settled = followed(n_distill, start, rate=1e-2, steps=60_000)
    right = 1 / (1 + np.exp(-settled[-1]))
    assert (right > 0.99).all()
