"""Episodes in parallel processes: the same transitions however many workers there are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count, islice
from types import TracebackType
from typing import Any

import gymnasium
import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.policy.choices import choices_of, same_levels
from sparsectl.training.data.dataset import VALUES_KIND, Dataset, joined
from sparsectl.training.environments.environments import make_environment
from sparsectl.training.environments.signals import environment_signals, normaliser
from sparsectl.training.nn.networks import Array
from sparsectl.training.rollouts.policy import Policy
from sparsectl.training.rollouts.running import RunningEpisode
from sparsectl.training.rollouts.seeds import Series, episode_seed

Seed = tuple[int, ...]
"""Of episodes: their series (seeds.py), and what tells one run of it from another."""

MOST_WORKERS = 1024

SHOWN_EPISODES = 20
"""As many have a progress bar."""

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


@dataclass(frozen=True)
class Behaviour:
    """Who acts in an episode, and who labels.

    Attributes:
        actor: its actions are executed.
        teacher: its actions are recorded as the labels; the actor where it is None.
        noise: standard deviation of Gaussian action noise, a fraction of half the action's range;
            where actions are choices the probability ε of a choice by chance.
        noise_fraction: the share of episodes that have it.
        start: where episodes begin, one of the environment's `metadata["starts"]`; None: as always.
    """

    actor: Policy
    teacher: Policy | None = None
    noise: float = 0.0
    noise_fraction: float = 1.0
    start: str | None = None


@dataclass(frozen=True)
class Episode:
    """One episode: its transitions, and `info["is_success"]` at its end where there is one."""

    transitions: Dataset
    success: bool | None = field(default=None)

    @property
    def episode_return(self) -> float:
        return float(self.transitions.rewards.sum(dtype=np.float64))


def check_fit(policy: Policy, signals: dict[str, Any], environment: str) -> None:
    """Check that a policy's observations and actions have the environment's sizes, and that both
    are of choices or both of real numbers.

    Raises:
        UserError: they have not.
    """
    check_kind(policy, signals, environment)
    offset, _, action_offset, *_ = normaliser(signals)
    have = (policy.observation_size, policy.action_size)
    want = (offset.size, action_offset.size)
    if have != want:
        raise UserError(
            f"the policy takes {have[0]} observations and gives {have[1]} actions, {environment} "
            f"has {want[0]} and {want[1]}; use the environment it was trained in"
        )


def check_kind(policy: Policy, signals: dict[str, Any], environment: str) -> None:
    """Check that a policy chooses where the environment's actions are choices, and nowhere else.

    Raises:
        UserError: it does not, or its choices are others.
    """
    wanted, given = choices_of(signals), policy.choices
    if wanted is None and given is None:
        return
    if given is None:
        assert wanted is not None
        raise UserError(
            f"the policy gives {policy.action_size} real numbers, {environment} takes one of "
            f"{wanted.count} choices; give a policy that chooses: a Stable-Baselines3 zip of DQN "
            "or PPO, or an ONNX file whose output is called q_values or logits"
        )
    if wanted is None:
        raise UserError(
            f"the policy takes one of a few choices, {environment} takes "
            f"{len(signals['action'])} real numbers; use the environment it was trained in"
        )
    if given.count and (given.first, given.count) != (wanted.first, wanted.count):
        raise UserError(
            f"the policy chooses among {given.count} from {given.first} on, {environment} among "
            f"{wanted.count} from {wanted.first} on; use the environment it was trained in"
        )
    if given.levels and wanted.levels and not same_levels(given.levels, wanted.levels):
        raise UserError(
            f"the policy chooses among the levels {list(given.levels)}, {environment} among "
            f"{list(wanted.levels)}; use the environment it was trained in"
        )


class Rollouts:
    """A pool of worker processes, each with the environment; use it as a context manager."""

    def __init__(
        self, environment: str, workers: int, options: dict[str, Any] | None = None
    ) -> None:
        probe = make_environment(environment, options)
        self.signals = environment_signals(probe)
        self.starts: tuple[str, ...] = tuple(probe.metadata.get("starts", ()))
        probe.close()
        self.environment = environment
        self.workers = max(1, workers)
        self._options = options or {}
        self._pool: ProcessPoolExecutor | None = None
        self._others: set[multiprocessing.process.BaseProcess] = set()

    def __enter__(self) -> Rollouts:
        self._others = set(multiprocessing.active_children())
        self._pool = ProcessPoolExecutor(
            self.workers,
            multiprocessing.get_context("spawn"),  # fork would copy torch's and MuJoCo's threads
            _start_worker,
            (self.environment, self._options),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        pool.shutdown(wait=kind is None, cancel_futures=True)
        if kind is not None:  # an episode of someone's environment may be a long one
            for worker in set(multiprocessing.active_children()) - self._others:
                worker.terminate()
            pool.shutdown(wait=True)

    def episodes(
        self, behaviour: Behaviour, seed: Seed, first: int = 0, number: int | None = None
    ) -> Iterator[Episode]:
        """`number` episodes from `first` on, or without end where it is None; episode k depends on
        (seed, k) alone. Workers run ahead of who takes them, but not beyond the last."""
        assert self._pool is not None, "use Rollouts as a context manager"
        check_fit(behaviour.actor, self.signals, self.environment)
        if behaviour.teacher is not None:
            check_fit(behaviour.teacher, self.signals, self.environment)
        numbers = count(first) if number is None else iter(range(first, first + number))
        waiting: list[Future[Episode]] = []
        try:
            while True:
                for ahead in islice(numbers, 2 * self.workers - len(waiting)):
                    waiting.append(self._submit(behaviour, seed, ahead))
                if not waiting:
                    return
                yield waiting.pop(0).result()
        except BrokenProcessPool as error:
            raise UserError(
                f"a worker process of {self.environment} died, as one does that lacks memory; give "
                "fewer --workers"
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def transitions(self, behaviour: Behaviour, seed: Seed, number: int, label: str) -> Dataset:
        """The first `number` transitions of `episodes`, the last episode cut."""
        parts: list[Dataset] = []
        have = 0
        with Progress(total=number, desc=label, unit="tr") as progress:
            for episode in self.episodes(behaviour, seed):
                parts.append(episode.transitions)
                have += len(parts[-1])
                progress.update(min(len(parts[-1]), number - progress.n))
                if have >= number:
                    break
        return joined(parts).first(number)

    def returns(
        self, policy: Policy, seed: Seed, number: int, label: str = "episodes", first: int = 0
    ) -> Array:
        """The returns of `number` episodes from `first` on, [number]."""
        episodes = self.episodes(Behaviour(policy), seed, first, number)
        # a few are no wait; their line would only flicker
        quiet = number < SHOWN_EPISODES
        shown = Progress(episodes, desc=label, total=number, unit="ep", disable=quiet)
        return np.asarray([episode.episode_return for episode in shown], dtype=np.float32)

    def _submit(self, behaviour: Behaviour, seed: Seed, number: int) -> Future[Episode]:
        assert self._pool is not None
        with one_thread(), _started_without_interrupts():
            return self._pool.submit(_episode, behaviour, seed, number)


@contextmanager
def one_thread() -> Iterator[None]:
    """Worker processes start within `submit`; they read these when numpy is first imported."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _started_without_interrupts() -> Iterator[None]:
    """A process that is started from this thread meanwhile has SIGINT blocked, until it unblocks
    it: Ctrl-C reaches the whole group, and what still imports would print its traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worker_settings: tuple[str, dict[str, Any]]


def _start_worker(environment: str, options: dict[str, Any]) -> None:
    global _worker_settings
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _worker_settings = environment, options


def _end_with_parent() -> None:
    """A parent that was killed leaves its workers waiting for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@cache
def _worker_environment() -> gymnasium.Env[Any, Any]:
    """Made with the first episode, whose future tells what goes wrong."""
    return make_environment(*_worker_settings)


def _episode(behaviour: Behaviour, seed: Seed, number: int) -> Episode:
    return run_episode(_worker_environment(), behaviour, seed, number)


def run_episode(
    environment: gymnasium.Env[Any, Any], behaviour: Behaviour, seed: Seed, number: int
) -> Episode:
    """Run one episode in this process; its start and its noise follow from (seed, number).

    Returns:
        Episode: transitions; an episode ends by termination or truncation of the environment.
    """
    series, *entropy = seed
    random = np.random.default_rng([*seed, number])
    signals = environment_signals(environment)
    *_, scale, low, high = normaliser(signals)
    noise = behaviour.noise if random.random() < behaviour.noise_fraction else 0.0
    disturbed = _explored if choices_of(signals) else _noisy
    columns: list[list[Any]] = [[], [], [], [], [], []]
    actions: list[Array] = []
    options = None if behaviour.start is None else {"start": behaviour.start}
    episode = RunningEpisode(environment, episode_seed(Series(series), number, *entropy), options)
    while not episode.is_over:
        action = behaviour.actor.act(episode.observation[None])[0]
        actions.append(action)
        executed = disturbed(action, noise, random, scale, low, high)
        step = episode.step(executed)
        values = (
            step.observation,
            executed,
            step.reward,
            step.after,
            step.terminated,
            step.truncated,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    teacher = behaviour.teacher
    labels = np.stack(actions) if teacher is None else teacher.act(np.stack(columns[0]))
    dataset = _dataset(columns, labels, signals)
    labeller = teacher or behaviour.actor
    if labeller.values_kind is not None:
        metadata = {**dataset.metadata, VALUES_KIND: labeller.values_kind}
        given = labeller.values(dataset.observations)
        dataset = replace(dataset, teacher_values=given, metadata=metadata)
    return Episode(dataset, episode.success)


def _noisy(
    action: Array, noise: float, random: np.random.Generator, scale: Array, low: Array, high: Array
) -> Array:
    """The action [m] with Gaussian noise, within its limits."""
    noisy = action + (scale * noise) * random.standard_normal(action.shape)
    executed: Array = np.minimum(np.maximum(noisy, low), high).astype(np.float32)
    return executed


def _explored(
    action: Array, noise: float, random: np.random.Generator, scale: Array, low: Array, high: Array
) -> Array:
    """The choice [1], or any of them where the dice say so: ε-greedy."""
    by_chance = random.integers(int(low[0]), int(high[0]), endpoint=True)
    return np.array([by_chance], np.float32) if random.random() < noise else action


def _dataset(columns: list[list[Any]], labels: Array, signals: dict[str, Any]) -> Dataset:
    observations, actions, rewards, after, terminations, truncations = columns
    return Dataset(
        np.stack(observations),
        np.stack(actions),
        labels,
        np.asarray(rewards, np.float32),
        np.stack(after),
        np.asarray(terminations, np.bool_),
        np.asarray(truncations, np.bool_),
        {"signals": signals},
    )
