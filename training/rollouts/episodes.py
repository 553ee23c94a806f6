"""Run episodes in parallel processes: the transitions do not depend on the number of workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from itertools import count, islice
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any

import gymnasium
import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.plants.task import EPISODE_STEPS
from sparsectl.policy.acting.networks import Array
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.policy.choices import choices_of, same_levels
from sparsectl.policy.signals_json import image_of, normaliser
from sparsectl.policy.tasks import heads_of
from sparsectl.training.data.dataset import Dataset, joined
from sparsectl.training.environments.environments import make_environment, rig_of
from sparsectl.training.environments.signals import environment_signals
from sparsectl.training.rollouts import own_program
from sparsectl.training.rollouts.block import Behaviour, Episode, Seed, run_block
from sparsectl.training.rollouts.running import RunningEpisode
from sparsectl.training.rollouts.seeds import Series, episode_seed
from sparsectl.training.rollouts.together import OfRig, OneByOne

MOST_WORKERS = 1024

BLOCK_EPISODES = 128
"""The most episodes of a rig that a worker runs side by side; with more, its datasets would have to
wait for each other."""

BATCH_ROWS = 32
"""Batch size of a policy if episodes run side by side."""

SHOWN_EPISODES = 20
"""From this number of episodes on there is a progress bar."""

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


PRELOADED = [
    *("__main__", __name__, "sparsectl.plants.side_by_side"),
    "sparsectl.training.rollouts.unblocked",
]
"""Modules that the server process imports of which workers are copies, in this order."""


def check_fit(policy: ActingPolicy, signals: dict[str, Any], environment: str) -> None:
    """Check that a policy's observations and actions have the environment's sizes, and that both
    are discrete or both continuous.

    Raises:
        UserError: they do not fit.
    """
    check_kind(policy, signals, environment)
    offset, _, action_offset, *_ = normaliser(signals)
    have = (policy.observation_size, policy.action_size)
    want = (offset.size, action_offset.size)
    if have != want:
        raise UserError(
            f"the policy takes {have[0]} observations and gives {have[1]} actions, but "
            f"{environment} has {want[0]} and {want[1]}; use the environment it was trained in"
        )
    seen = image_of(signals)
    if policy.image is not None and seen is not None and policy.image != seen:
        raise UserError(
            f"the policy takes an image of {list(policy.image)}, but {environment} gives "
            f"{list(seen)}, so that each number would be taken for another; let the policy reorder "
            "it first (torch: x.permute(0, 3, 1, 2) of rows, columns, channels) and export it again"
        )
    given = _parts(policy.inputs, signals)
    if given and given != policy.inputs:
        taken, there = (", ".join(names) for names in (policy.inputs, given))
        raise UserError(
            f"the policy takes its inputs in the order {taken} and {environment} gives {there}, so "
            "that each number would be taken for another; export it with its inputs in that order"
        )


def _parts(inputs: Sequence[str], signals: dict[str, Any]) -> tuple[str, ...]:
    """Return the parts of an environment's observations, in its order, by the names of a policy's
    inputs; nothing if these are other names, which say nothing of the order."""
    found: list[str] = []
    for name in [entry["name"] for entry in signals["observation"]]:
        of = [each for each in inputs if name == each or name.startswith(f"{each}_")]
        if not of:
            return ()
        found.append(max(of, key=len))
    return tuple(dict.fromkeys(found)) if set(found) == set(inputs) else ()


def check_kind(policy: ActingPolicy, signals: dict[str, Any], environment: str) -> None:
    """Check that a policy is discrete if and only if the environment is.

    Raises:
        UserError: they differ in this, or in their choices.
    """
    wanted, given = choices_of(signals), policy.choices
    if wanted is None and given is None:
        return
    if given is None:
        assert wanted is not None
        if tasks := len(heads_of(policy.signals)):
            raise UserError(
                f"the policy is for {tasks} tasks, but {environment} is one; give the "
                "student.safetensors with --task, or export it with --task"
            )
        raise UserError(
            f"the policy gives {policy.action_size} real numbers, but {environment} takes one of "
            f"{wanted.count} choices; give a policy that chooses: a Stable-Baselines3 zip of DQN "
            "or PPO, or an ONNX file whose output is called q_values or logits"
        )
    if wanted is None:
        raise UserError(
            f"the policy takes one of a few choices, but {environment} takes "
            f"{len(signals['action'])} real numbers; use the environment it was trained in"
        )
    if given.count and (given.first, given.count) != (wanted.first, wanted.count):
        mend = "use the environment it was trained in"
        if given.count == wanted.count:
            mend += f", or, if this is it, a --wrapper that numbers its choices from {given.first}"
        raise UserError(
            f"the policy has {given.count} choices, numbered from {given.first}, but {environment} "
            f"has {wanted.count}, numbered from {wanted.first}; {mend}"
        )
    if given.levels and wanted.levels and not same_levels(given.levels, wanted.levels):
        raise UserError(
            f"the policy chooses among the levels {list(given.levels)}, but {environment} among "
            f"{list(wanted.levels)}; use the environment it was trained in"
        )


class Rollouts:
    """A pool of worker processes, each with the environment. A context manager."""

    def __init__(
        self, environment: str, workers: int, options: dict[str, Any] | None = None
    ) -> None:
        probe = make_environment(environment, options)
        self.signals = environment_signals(probe)
        self.starts: tuple[str, ...] = tuple(probe.metadata.get("starts", ()))
        self.is_of_rig = rig_of(environment, options) is not None
        self.longest: int | None = EPISODE_STEPS if self.is_of_rig else None
        """The most steps of an episode; None: not known."""
        probe.close()
        self.environment = environment
        self.workers = max(1, workers)
        self._is_of_program = own_program.defines(environment)
        self._options = options or {}
        self._pool: ProcessPoolExecutor | None = None
        self._others: set[multiprocessing.process.BaseProcess] = set()

    def __enter__(self) -> Rollouts:
        self._others = set(multiprocessing.active_children())
        spec = None if self._is_of_program else own_program.spec_of(self.environment)
        settings = (self.environment, self._options, spec)
        self._pool = ProcessPoolExecutor(self.workers, _clean_start(), _start_worker, settings)
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
        """Yield `number` episodes from `first` on, or without end where it is None; episode k
        depends on (seed, k) alone. Workers run ahead of the consumer, but not beyond the last."""
        assert self._pool is not None, "use Rollouts as a context manager"
        check_fit(behaviour.actor, self.signals, self.environment)
        if behaviour.teacher is not None:
            check_fit(behaviour.teacher, self.signals, self.environment)
        blocks = self._blocks(first, number)
        waiting: list[Future[list[Episode]]] = []
        try:
            while True:
                for ahead in islice(blocks, 2 * self.workers - len(waiting)):
                    waiting.append(self._submit(behaviour, seed, ahead))
                if not waiting:
                    return
                yield from waiting.pop(0).result()
        except BrokenProcessPool as error:
            mend = f"; or {own_program.GUARD}" if self._is_of_program else ""
            raise UserError(
                f"a worker process of {self.environment} died, probably for lack of memory; give "
                f"fewer --workers{mend}"
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def transitions(self, behaviour: Behaviour, seed: Seed, number: int, label: str) -> Dataset:
        """Return the first `number` transitions of `episodes`, with the last episode cut."""
        parts: list[Dataset] = []
        have = 0
        with Progress(total=number, desc=label, unit="tr") as progress:
            while have < number:
                # So many there are at least; how many more, their lengths will say.
                least = None if self.longest is None else -(-(number - have) // self.longest)
                for episode in self.episodes(behaviour, seed, len(parts), least):
                    parts.append(episode.transitions)
                    have += len(parts[-1])
                    progress.update(min(len(parts[-1]), number - progress.n))
                    if have >= number:
                        break
        return joined(parts).first(number)

    def returns(
        self, policy: ActingPolicy, seed: Seed, number: int, label: str = "episodes", first: int = 0
    ) -> Array:
        """Return the returns of `number` episodes from `first` on, [number]."""
        episodes = self.episodes(Behaviour(policy), seed, first, number)
        # a few are no wait; their line would only flicker
        quiet = number < SHOWN_EPISODES
        shown = Progress(episodes, desc=label, total=number, unit="ep", disable=quiet)
        return np.asarray([episode.episode_return for episode in shown], dtype=np.float32)

    def _blocks(self, first: int, number: int | None) -> Iterator[range]:
        """Yield the indices of episodes that a worker runs side by side: one, but many of a
        rig's."""
        if number is None:
            return (range(one, one + 1) for one in count(first))
        size = min(BLOCK_EPISODES, -(-number // self.workers)) if self.is_of_rig else 1
        end = first + number
        return (range(one, min(one + size, end)) for one in range(first, end, max(1, size)))

    def _submit(self, behaviour: Behaviour, seed: Seed, numbers: range) -> Future[list[Episode]]:
        assert self._pool is not None
        left_out = own_program.left_out(not self._is_of_program)
        with left_out, one_thread(), _started_without_interrupts():
            return self._pool.submit(_block, behaviour, seed, numbers)


def _clean_start() -> BaseContext:
    """Workers are copies of a server process that has imported what they need and runs no thread;
    a plain fork would copy torch's and MuJoCo's threads, and spawned ones import it all again. The
    server keeps the environment variables of its start, which is the first worker's."""
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows has none
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


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
    """While the block runs, a process that this thread starts has SIGINT blocked, until it unblocks
    it: Ctrl-C reaches the whole group, and what still imports would print its traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worker_settings: tuple[str, dict[str, Any]]


def _start_worker(environment: str, options: dict[str, Any], spec: Any) -> None:
    global _worker_settings
    own_program.register(spec)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _worker_settings = environment, options


def _end_with_parent() -> None:
    """End this worker if its parent was killed; it would otherwise wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@cache
def _worker_signals() -> dict[str, Any]:
    return environment_signals(_worker_environment())


@cache
def _worker_environment() -> gymnasium.Env[Any, Any]:
    """Made with the first episode, whose future tells what goes wrong."""
    return make_environment(*_worker_settings)


def _block(behaviour: Behaviour, seed: Seed, numbers: range) -> list[Episode]:
    series, *entropy = seed
    of_rig = rig_of(*_worker_settings)
    if of_rig is not None:
        running = OfRig(
            of_rig,
            [episode_seed(Series(series), number, *entropy) for number in numbers],
            behaviour.start,
        )
        return run_block(running, _worker_signals(), behaviour, seed, numbers, BATCH_ROWS)
    start = None if behaviour.start is None else {"start": behaviour.start}
    episodes = []
    for number in numbers:
        environment = _worker_environment()
        begun = RunningEpisode(environment, episode_seed(Series(series), number, *entropy), start)
        alone = OneByOne([environment], [begun])
        episodes += run_block(alone, _worker_signals(), behaviour, seed, range(number, number + 1))
    return episodes
