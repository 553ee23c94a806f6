"""The same methods with networks and real actions, on tasks that are cut and never end.

Czarnecki et al. (2019) have tables and four moves. Here a student is a network whose actions are
Gaussian, its standard deviation learnt; the teacher's actions are Gaussian around what its policy
says. Every update has the next steps of a few environments that go on where they were, as in
a task without end; what an update's rewards sum to is taken less the mean of the other
environments. All methods have the same number of transitions, and an Adam step for each batch of
them. Beside them stands what `sparsectl distill` does: rounds of the teacher's and the student's
transitions, all kept (DAgger), with one or ten steps for each batch.

    python benchmarks/gaussian_students.py [--tasks sparsectl/sensorsini_cartpole-v0] [--write]
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_are

from sparsectl.common.files import read_json, write_json
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance
from sparsectl.policy.load import load_acting
from sparsectl.training.environments.environments import make_environment
from sparsectl.training.rollouts.intervals import crossed_interval
from sparsectl.training.rollouts.seeds import Series, episode_seed
from sparsectl.training.trajectory.methods import ALL, Loss, Method, Reward

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "gaussian_students.json"

Array = NDArray[np.float32]
Teacher = Callable[[Array], Array]
"""Observations [B, n] to mean actions [B, m], in half the action's range."""

CART_POLE, DOUBLE_PENDULUM = "sparsectl/sensorsini_cartpole-v0", "InvertedDoublePendulum-v5"
ENVIRONMENTS, STEPS = 4, 50
"""Of an update: so many environments go so many steps on."""
BATCH = ENVIRONMENTS * STEPS
DEVIATION = 0.2
"""Of the teacher's actions, in half the action's range."""
DISCOUNT = 0.99
"""Of the teacher's value, which is fitted to what its own episodes return."""
HIDDEN = 32
TUNING_SEED = 1000

METHODS = (
    "teacher distill",
    "on-policy distill",
    "mixture distill",
    "entropy regularised",
    "N-distill",
    "expected entropy regularised",
    "teacher V shaping",
    "teacher V, one step",
)
VALUED = (Reward.TEACHERS_VALUE, Reward.TEACHERS_VALUE_STUDENTS_CRITIC)
DAGGER = {"imitation and DAgger": 1, "imitation and DAgger, ten steps": 10}
"""Adam steps for each batch of new transitions."""


@dataclass(frozen=True)
class GaussianStudentsConfig:
    """Compare the methods with networks."""

    tasks: tuple[str, ...] = (CART_POLE, DOUBLE_PENDULUM)
    methods: tuple[str, ...] = (*METHODS, *DAGGER)
    seeds: int = 3
    """Students of each method."""
    rates: tuple[float, ...] = (3e-3, 1e-2)
    """Of Adam; where there are several a student of another seed chooses."""
    updates: int = 150
    """Batches of 200 new transitions."""
    episodes: int = 10
    """In which students and teacher are measured; they choose nothing."""
    out: Path = RESULTS
    write: bool = False


def pole_balancer(environment: gymnasium.Env[Any, Any]) -> Teacher:
    """A linear-quadratic regulator of MuJoCo's double pendulum, linearised where it stands."""
    import mujoco

    model: Any = copy.copy(environment.unwrapped.model)  # type: ignore[attr-defined]
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER  # RK4 cannot be linearised
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    states = 2 * model.nv
    a, b = np.zeros((states, states)), np.zeros((states, model.nu))
    mujoco.mjd_transitionFD(model, data, 1e-6, True, a, b, None, None)
    held = environment.unwrapped.frame_skip  # type: ignore[attr-defined]
    b = sum((np.linalg.matrix_power(a, k) for k in range(held)), np.zeros_like(a)) @ b
    a = np.linalg.matrix_power(a, held)
    cost = np.diag([1.0, 10.0, 10.0, 0.1, 0.1, 0.1])
    solved = solve_discrete_are(a, b, cost, np.eye(1))
    gain = np.linalg.solve(np.eye(1) + b.T @ solved @ b, b.T @ solved @ a)

    def act(observations: Array) -> Array:
        angles = np.arctan2(observations[:, 1:3], observations[:, 3:5])
        state = np.concatenate([observations[:, :1], angles, observations[:, 5:8]], axis=1)
        actions: Array = np.clip(-state @ gain.T, -1, 1).astype(np.float32)
        return actions

    return act


def teacher_of(task: str, environment: gymnasium.Env[Any, Any]) -> Teacher:
    """The shipped swing-up of the cart-pole, or a regulator."""
    if task == DOUBLE_PENDULUM:
        return pole_balancer(environment)
    policy = load_acting(ROOT / "training" / "teachers" / "sensorsini_cartpole.onnx")
    half = np.asarray(environment.action_space.high, np.float32)  # type: ignore[attr-defined]
    return lambda observations: policy.act(observations) / half


class Student(torch.nn.Module):
    """Mean actions of a network, and the logarithm of one deviation for each."""

    def __init__(self, mean: Array, scale: Array, actions: int) -> None:
        super().__init__()
        self.mean, self.scale = torch.as_tensor(mean), torch.as_tensor(scale)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(len(mean), HIDDEN),
            torch.nn.Tanh(),
            torch.nn.Linear(HIDDEN, HIDDEN),
            torch.nn.Tanh(),
            torch.nn.Linear(HIDDEN, actions),
        )
        self.log_deviation = torch.nn.Parameter(torch.full((actions,), float(np.log(0.4))))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.layers((observations - self.mean) / self.scale)  # type: ignore[no-any-return]


class Walk:
    """Environments that go on from update to update."""

    def __init__(self, task: str, seed: int) -> None:
        self.environments = [make_environment(task) for _ in range(ENVIRONMENTS)]
        self.random = np.random.default_rng(seed)
        self.observations = np.stack([self._reset(each) for each in self.environments])
        space: Any = self.environments[0].action_space
        self.half = np.asarray(space.high, np.float32)

    def _reset(self, environment: gymnasium.Env[Any, Any]) -> Array:
        entropy = int(self.random.integers(2**31))
        start = environment.reset(seed=episode_seed(Series.COLLECT, 0, entropy))[0]
        return np.asarray(start, np.float32)

    def on(self, act: Teacher, deviation: Any) -> dict[str, Array]:
        """STEPS further: observations, actions, rewards, what follows and which episodes ended."""
        seen: dict[str, list[Any]] = {
            name: [] for name in ("observations", "actions", "rewards", "next", "ended")
        }
        for _ in range(STEPS):
            means = act(self.observations)
            actions = means + deviation * self.random.normal(size=means.shape).astype(np.float32)
            rewards, following, ended = [], [], []
            before = self.observations.copy()
            for number, environment in enumerate(self.environments):
                clipped = np.clip(actions[number], -1, 1) * self.half
                observation, reward, terminated, cut, _ = environment.step(clipped)
                rewards.append(float(reward))
                following.append(np.asarray(observation, np.float32))
                ended.append(bool(terminated))
                over = terminated or cut
                self.observations[number] = self._reset(environment) if over else observation
            step = (before, actions, rewards, following, ended)
            for name, value in zip(seen, step, strict=True):
                seen[name].append(np.asarray(value))
        return {name: np.stack(value).astype(np.float32) for name, value in seen.items()}


def summed(rewards: torch.Tensor, ended: torch.Tensor) -> torch.Tensor:
    """Σ_{i≥t} r̂_i [T, E] up to the batch's or the episode's end, less the others' mean."""
    total = torch.zeros(rewards.shape[1])
    sums = []
    for reward, end in zip(rewards.flip(0), ended.flip(0), strict=True):
        total = reward + total * (1 - end)
        sums.append(total)
    found = torch.stack(sums).flip(0)
    others = (found.sum(dim=1, keepdim=True) - found) / (ENVIRONMENTS - 1)
    return found - others


def log_density(actions: torch.Tensor, means: torch.Tensor, log_dev: torch.Tensor) -> torch.Tensor:
    """Of Gaussian actions, summed over their elements, less a constant."""
    squares = ((actions - means) * torch.exp(-log_dev)) ** 2
    return -(0.5 * squares + log_dev).sum(dim=-1)


def objective(
    method: Method, student: Student, value: torch.nn.Module | None, batch: dict[str, torch.Tensor]
) -> torch.Tensor:
    """What an update of equation 1 descends, a mean over the batch's transitions."""
    means, teacher = student(batch["observations"]), batch["teacher"]
    log_dev, log_sigma = student.log_deviation, torch.tensor(float(np.log(DEVIATION)))
    squares = (means - teacher) ** 2
    forward = log_dev + (DEVIATION**2 + squares) / (2 * torch.exp(2 * log_dev))
    backward = log_sigma + (torch.exp(2 * log_dev) + squares) / (2 * DEVIATION**2)
    forward, backward = forward.sum(dim=-1), backward.sum(dim=-1)
    loss = torch.zeros(())
    if method.loss == Loss.TEACHERS_CROSS_ENTROPY:
        loss = forward.mean()
    elif method.loss == Loss.STUDENTS_CROSS_ENTROPY:
        loss = backward.mean()
    if method.reward == Reward.NONE:
        return loss
    not_done = 1 - batch["ended"]
    with torch.no_grad():
        log_teacher = log_density(batch["actions"], teacher, log_sigma)
        if method.reward == Reward.LOG_TEACHER:
            rewards = log_teacher
        elif method.reward == Reward.NEXT_LOG_TEACHER:
            rewards = torch.cat([log_teacher[1:], torch.zeros(1, ENVIRONMENTS)]) * not_done
        elif method.reward == Reward.NEXT_CROSS_ENTROPY:
            rewards = -torch.cat([forward[1:], torch.zeros(1, ENVIRONMENTS)]) * not_done
        else:  # both readings of the teacher's value have it in V_π's place here
            assert value is not None
            here, beyond = value(batch["observations"])[..., 0], value(batch["next"])[..., 0]
            rewards = batch["rewards"] + DISCOUNT * not_done * beyond - here
        weights = summed(rewards, batch["ended"]) if method.summed else rewards
    return loss - (weights * log_density(batch["actions"], means, log_dev)).mean()


def fitted_value(task: str, teacher: Teacher, like: Student) -> torch.nn.Module:
    """V_π by regression on discounted sums of the teacher's rewards along 100 batches."""
    torch.manual_seed(0)
    value = Student(like.mean.numpy(), like.scale.numpy(), 1)
    walk, parts = Walk(task, seed=99), []
    for _ in range(100):
        parts.append(walk.on(teacher, DEVIATION))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    total, sums = np.zeros(ENVIRONMENTS), np.zeros(columns["rewards"].shape, np.float32)
    for step in range(len(sums) - 1, -1, -1):
        total = columns["rewards"][step] + DISCOUNT * (1 - columns["ended"][step]) * total
        sums[step] = total
    known = torch.as_tensor(columns["observations"][:-300]).flatten(0, 1)  # later sums are cut
    wanted = torch.as_tensor(sums[:-300]).flatten()
    shift, size = wanted.mean(), wanted.std()
    optimiser = torch.optim.Adam(value.parameters(), 3e-3)
    for _ in range(1500):
        rows = torch.randint(len(known), (256,))
        error = (value(known[rows])[:, 0] - (wanted[rows] - shift) / size) ** 2
        optimiser.zero_grad()
        error.mean().backward()
        optimiser.step()
    with torch.no_grad():
        last: Any = value.layers[-1]
        last.weight *= size
        last.bias.copy_(last.bias * size + shift)
    return value.requires_grad_(False)


def acting(student: Student) -> Teacher:
    def act(observations: Array) -> Array:
        with torch.no_grad():
            return student(torch.as_tensor(observations)).numpy()  # type: ignore[no-any-return]

    return act


def trained(
    name: str, task: str, teacher: Teacher, begin: Student, value: Any, rate: float, config: Any
) -> Student:
    """A student after the updates; `begin` is left as it is."""
    student = copy.deepcopy(begin)
    seed = int(torch.randint(2**31, ()).item())
    walk = Walk(task, seed)
    memory: dict[str, list[torch.Tensor]] = {"observations": [], "teacher": []}
    optimiser = torch.optim.Adam(student.parameters(), rate)
    random = np.random.default_rng(seed)
    method = ALL["on-policy distill" if name in DAGGER else name]
    for update in range(config.updates):
        share = method.student if name not in DAGGER else float(4 * update >= config.updates)
        own = random.random() < share
        deviation = student.log_deviation.detach().exp().numpy() if own else DEVIATION
        part = walk.on(acting(student) if own else teacher, deviation)
        flat = part["observations"].reshape(-1, part["observations"].shape[-1])
        part["teacher"] = teacher(flat).reshape(*part["actions"].shape)
        batch = {key: torch.as_tensor(column) for key, column in part.items()}
        for key, column in memory.items():
            column.append(batch[key].flatten(0, 1))
        kept = {key: torch.cat(column) for key, column in memory.items()} if name in DAGGER else {}
        for _ in range(DAGGER.get(name, 1)):
            if name in DAGGER:
                rows = torch.as_tensor(random.integers(len(kept["teacher"]), size=BATCH))
                batch = {key: column[rows] for key, column in kept.items()}
            optimiser.zero_grad()
            objective(method, student, value, batch).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimiser.step()
    return student


def returns(task: str, act: Teacher, episodes: int) -> NDArray[np.float64]:
    """Of mean actions, [episodes]; episode k begins the same for everyone."""
    environment = make_environment(task)
    space: Any = environment.action_space
    found = []
    for number in range(episodes):
        observation, _ = environment.reset(seed=episode_seed(Series.EVALUATION, 10_000 + number))
        total, over = 0.0, False
        while not over:
            action = act(np.asarray(observation, np.float32)[None])[0]
            observation, reward, ended, cut, _ = environment.step(
                np.clip(action, -1, 1) * space.high
            )
            total, over = total + float(reward), ended or cut
        found.append(total)
    return np.array(found)


def share_of_teacher(students: Any, teacher: Any) -> float:
    """Mean return of students [students, episodes] over the teacher's [episodes]."""
    return float(students.mean() / teacher.mean())


def one_task(task: str, config: GaussianStudentsConfig) -> None:
    """Every method's students in a task, beside its teacher."""
    walk = Walk(task, seed=7)
    teacher = teacher_of(task, walk.environments[0])
    seen = walk.on(teacher, DEVIATION)["observations"]
    seen = seen.reshape(-1, seen.shape[-1])
    scale = np.maximum(seen.std(axis=0), 0.05)
    best = returns(task, teacher, config.episodes)
    value = None
    if any(ALL[name].reward in VALUED for name in config.methods if name in ALL):
        value = fitted_value(task, teacher, Student(seen.mean(axis=0), scale, len(walk.half)))
    rows: dict[str, Any] = {}

    def measured(name: str, seed: int, rate: float) -> NDArray[np.float64]:
        torch.manual_seed(seed)
        begin = Student(seen.mean(axis=0), scale, len(walk.half))
        student = trained(name, task, teacher, begin, value, rate, config)
        return returns(task, acting(student), config.episodes)

    tuning = config.rates if len(config.rates) > 1 else ()
    with Progress(
        total=len(config.methods) * (len(tuning) + config.seeds), desc=task, unit="student"
    ) as bar:
        for name in config.methods:
            found: dict[tuple[int, float], NDArray[np.float64]] = {}
            rate = config.rates[0]
            for tried in tuning:
                found[TUNING_SEED, tried] = measured(name, TUNING_SEED, tried)
                bar.update()
            if tuning:
                rate = max(tuning, key=lambda tried: found[TUNING_SEED, tried].mean())
            for seed in range(config.seeds):
                found[seed, rate] = measured(name, seed, rate)
                bar.update()
            students = np.stack([found[seed, rate] for seed in range(config.seeds)])
            low, high = crossed_interval(share_of_teacher, students, best)
            share = share_of_teacher(students, best)
            rows[name] = {"rate": rate, "share": share, "low": low, "high": high}
            rows[name]["seeds"] = [share_of_teacher(one[None], best) for one in students]
            print(f"{task} {name:34s} rate {rate:g} {share:.3f} [{low:.3f}, {high:.3f}]")
            rows[name] |= {
                "teacher_return": float(best.mean()),
                "transitions": config.updates * ENVIRONMENTS * STEPS,
                "episodes": config.episodes,
                "provenance": provenance(),
            }
            if config.write:
                results = read_json(config.out) if config.out.exists() else {}
                results[task] = results.get(task, {}) | {name: rows[name]}
                write_json(config.out, results)


def main(config: GaussianStudentsConfig) -> None:
    torch.set_num_threads(1)
    for task in config.tasks:
        one_task(task, config)


if __name__ == "__main__":
    main(tyro.cli(GaussianStudentsConfig))
