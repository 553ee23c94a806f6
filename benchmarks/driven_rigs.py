"""Rigs that are driven in the simulator, as their boards see them: with encoders that are reversed
or freeze, and with a finger against the pole. For `reversed_base.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsectl.plants.equations import Motion
from sparsectl.plants.rig import Rig, load_rig
from sparsectl.plants.side_by_side import PendulumEpisodes
from sparsectl.plants.task import BALANCED_RAD
from sparsectl.plants.units import bodies_of
from sparsectl.policy.acting.states import Recurrent
from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.training.any_rig.acting import SIGNALS, Inputs
from sparsectl.training.any_rig.deploy import policy_for, read_any, student_path
from sparsectl.training.any_rig.teacher import ModelBased

ROOT = Path(__file__).resolve().parent.parent

Array = NDArray[np.float64]
Driver = Callable[[PendulumEpisodes, "Swap", "Freeze | None"], Array]


@dataclass(frozen=True)
class Swap:
    """The signs with which a rig's encoders count, 1 or -1; the board takes them for 1."""

    base: int = 1
    pole: int = 1


@dataclass(frozen=True)
class Push:
    """Of a finger against the pole, each time that it has stayed up for 1 to 2 s."""

    speed_rad_s: float
    """That a free pole would gain."""
    seconds: float
    """For which it lasts; its force rises and falls as half a sine."""


PUSHES = (Push(3.0, 0.1), Push(3.0, 0.2))


class Freeze:
    """Pole encoders that count no more, each from a random time of the first 6 s on.

    Args:
        rigs: that are driven.
        episodes: of the rigs, at their beginning.
        is_dead: they never count at all.
    """

    def __init__(self, rigs: Sequence[Rig], episodes: PendulumEpisodes, is_dead: bool) -> None:
        period_s = np.array([rig.period_s for rig in rigs])
        random = np.random.default_rng(5)
        self.from_tick = np.round(random.uniform(0.5, 6.0, len(rigs)) / period_s).astype(np.int64)
        if is_dead:
            self.from_tick[:] = -1
        self._counts, self._tick = episodes.units.counts, 0
        self._pole: NDArray[np.int64] | None = None
        self._angle = np.zeros(len(rigs))

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the encoders' counts, as `Units.counts` does."""
        base, pole = self._counts()
        self._pole = pole if self._pole is None else np.where(self.is_frozen, self._pole, pole)
        return base, self._pole

    @property
    def is_frozen(self) -> NDArray[np.bool_]:
        """[rigs]."""
        return self._tick > self.from_tick

    def pass_tick(self) -> None:
        """Let a tick pass."""
        self._tick += 1

    def seen(self, true: Motion) -> Motion:
        """Return the motion that the encoders show."""
        self._angle = np.where(self.is_frozen, self._angle, true.angle)
        still = np.where(self.is_frozen, 0.0, true.pole_velocity)
        return Motion(true.position, self._angle, true.velocity, still)


class Hand:
    """Pushes the poles of many rigs, each when its time comes.

    Args:
        push: of all rigs.
        rigs: that are driven.
        episodes: of the rigs, at their beginning.
    """

    def __init__(self, push: Push, rigs: Sequence[Rig], episodes: PendulumEpisodes) -> None:
        count = len(rigs)
        self._random = np.random.default_rng(7)
        self._period_s = np.array([rig.period_s for rig in rigs])
        self._bodies = bodies_of(rigs, episodes.parameters)
        self._ticks = np.maximum(np.round(push.seconds / self._period_s), 1.0)
        middles = [(np.arange(n) + 0.5) / n for n in self._ticks]
        self._peak = push.speed_rad_s / np.array([np.sin(np.pi * x).sum() for x in middles])
        self._after_s = self._random.uniform(1.0, 2.0, count)
        self._up_s, self._left, self._way = np.zeros((3, count))
        self.pushes = 0

    def push(self, episodes: PendulumEpisodes) -> None:
        """Push for one tick; the hinge passes a part of it on to the base."""
        up = np.abs(episodes.units.angle_rad()) < BALANCED_RAD
        self._up_s = np.where(up & (self._left <= 0.0), self._up_s + self._period_s, 0.0)
        begins = self._up_s > self._after_s
        self.pushes += int((begins & ~episodes.is_over).sum())
        self._left = np.where(begins, self._ticks, self._left)
        self._way = np.where(begins, self._random.choice([-1.0, 1.0], len(up)), self._way)
        done = (self._ticks - self._left + 0.5) / self._ticks
        gained = np.where(self._left > 0.0, self._way * self._peak * np.sin(np.pi * done), 0.0)
        self._left -= 1.0
        motion, b = episodes.units.motion, self._bodies
        inertia = b.base_constant + b.turning * np.sin(motion.angle) ** 2
        motion.pole_velocity[:] += gained
        motion.velocity[:] -= b.coupling * np.cos(motion.angle) / inertia * gained


@dataclass(frozen=True)
class Seen:
    """What a board saw of rigs, [ticks + 1, rigs]; the duties [ticks, rigs]."""

    base: NDArray[np.int32]
    pole: NDArray[np.int32]
    duty: NDArray[np.float32]
    ticks: NDArray[np.int64]
    """Until the base met its limit, [rigs]."""
    position: Array
    velocity: Array
    pushes: int = 0
    frozen_from: NDArray[np.int64] | None = None
    """Tick from which the pole's encoder counted no more, [rigs]."""


def student(rigs: Sequence[Rig]) -> Driver:
    """The policy for any cart-pole."""
    inputs, actor = Inputs(rigs), read_any(student_path("cartpole"))
    state = actor.reset(len(rigs))

    def act(episodes: PendulumEpisodes, swap: Swap, freeze: Freeze | None) -> Array:
        nonlocal state
        seen = episodes.observations[:, -SIGNALS:] * _signs(swap)
        duty, state = actor.step(inputs.of(seen), state)
        return duty.astype(np.float64)

    return act


def shipped_student(family: str, rig: str | Path) -> Recurrent:
    """The shipped policy, in the environment of a rig."""
    policy = policy_for(read_any(student_path(family)), load_rig(rig))
    taken, step = policy.observation_size + policy.state_size, policy.step_graph
    # Of the environment's stacked frames the student takes the last.
    return Recurrent(lambda given: step.forward(given[:, -taken:]), policy.initial_state())


def controller(rigs: Sequence[Rig]) -> Driver:
    """The controller that knows each rig's masses, and takes its encoders for right."""
    made: list[ModelBased] = []

    def act(episodes: PendulumEpisodes, swap: Swap, freeze: Freeze | None) -> Array:
        if not made:
            made.append(ModelBased(rigs, episodes.parameters))
        true = episodes.units.motion if freeze is None else freeze.seen(episodes.units.motion)
        seen = Motion(
            true.position * swap.base,
            true.angle * swap.pole,
            true.velocity * swap.base,
            true.pole_velocity * swap.pole,
        )
        return made[0].act(seen, episodes.duty)

    return act


def teacher(rigs: Sequence[Rig]) -> Driver:
    """The teacher that comes with a shipped rig."""
    graph = read_onnx(ROOT / "training" / "teachers" / f"{rigs[0].name}.onnx")

    def act(episodes: PendulumEpisodes, swap: Swap, freeze: Freeze | None) -> Array:
        frames = episodes.observations.reshape(len(rigs), -1, SIGNALS) * _signs(swap)
        return graph.forward(frames.reshape(len(rigs), -1))[:, 0].astype(np.float64)

    return act


def at_random(rigs: Sequence[Rig]) -> Driver:
    """A duty from six, held for 2 to 39 ticks; back towards the middle near the limit."""
    random = np.random.default_rng(3)
    left, duty = np.zeros(len(rigs), np.int64), np.zeros(len(rigs))
    far = np.array([0.6 * rig.base.limit for rig in rigs])

    def act(episodes: PendulumEpisodes, swap: Swap, freeze: Freeze | None) -> Array:
        nonlocal left, duty
        drawn = random.choice([-1.0, -0.7, -0.4, 0.4, 0.7, 1.0], len(rigs))
        duty, held = np.where(left <= 0, drawn, duty), random.integers(2, 40, len(rigs))
        left = np.where(left <= 0, held, left) - 1
        position = episodes.units.motion.position
        return np.where(np.abs(position) > far, -np.sign(position), duty)

    return act


def _signs(swap: Swap) -> NDArray[np.float32]:
    return np.array([swap.base, swap.base, swap.pole, 1, swap.pole], np.float32)


def watched(
    rigs: Sequence[Rig],
    driver: Driver,
    swap: Swap,
    seconds: float,
    push: Push | None = None,
    freezes: bool = False,
    is_dead: bool = False,
) -> Seen:
    """Drive each rig from hanging at rest; the rig's number in the list is its episode's seed. The
    pole's encoder freezes on the way, or is dead from the start."""
    steps = math.ceil(seconds / min(rig.period_s for rig in rigs))
    episodes = PendulumEpisodes(rigs, list(range(len(rigs))), steps=steps)
    hand = Hand(push, rigs, episodes) if push else None
    freeze = Freeze(rigs, episodes, is_dead) if freezes or is_dead else None
    if freeze:
        episodes.units.counts = freeze.counts  # type: ignore[method-assign]
    base, pole = np.zeros((2, steps + 1, len(rigs)), np.int32)
    position, velocity = np.zeros((2, steps + 1, len(rigs)))
    duty = np.zeros((steps, len(rigs)), np.float32)
    ticks = np.zeros(len(rigs), np.int64)
    for tick in range(steps + 1):
        counts = episodes.units.counts()
        base[tick], pole[tick] = counts[0] * swap.base, counts[1] * swap.pole
        position[tick] = episodes.units.motion.position
        velocity[tick] = episodes.units.motion.velocity
        if tick < steps:
            ticks += ~episodes.is_over
            given = np.clip(driver(episodes, swap, freeze), -1.0, 1.0)
            duty[tick] = given
            if hand:
                hand.push(episodes)
            if freeze:
                freeze.pass_tick()
            episodes.step(given)
    pushes, frozen = hand.pushes if hand else 0, freeze.from_tick if freeze else None
    return Seen(base, pole, duty, ticks, position, velocity, pushes, frozen)
