"""Let a student that has been distilled learn further from its own rewards, on rigs that are drawn
afresh.

A teacher that knows each rig's numbers cannot show how to find them out, nor what to do best until
they are found: who imitates it does what the teachers of all rigs that look alike so far do in the
mean. Here the student drives with noise on its duty, a critic that sees the numbers (`critic`) says
whether it went better than was to be expected, and what went better becomes likelier: proximal
policy optimisation (Schulman et al. 2017) with generalised advantages (Schulman et al., "High-
Dimensional Continuous Control Using Generalized Advantage Estimation", 2016). Rigs have different
periods, so what fades does so over seconds.
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.common.progress import Progress
from sparsectl.plants.side_by_side import PendulumEpisodes
from sparsectl.training.any_rig.acting import POLE_RAD_S, Acting, Array, Inputs
from sparsectl.training.any_rig.critic import BATCH, Critic, Seen
from sparsectl.training.any_rig.deploy import read_any
from sparsectl.training.any_rig.distill import (
    AT_REST,
    CALM_COSINE,
    CALM_RAD_S,
    CURVE,
    REST,
    drawn_rig,
    take,
)
from sparsectl.training.any_rig.gradients import Surrogate
from sparsectl.training.any_rig.kept import intact
from sparsectl.training.any_rig.recurrent import GruStudent, acting
from sparsectl.training.any_rig.teacher import ModelBased
from sparsectl.training.rollouts.seeds import Series, episode_seed

STARTS: Final = (REST,) * 10 + ("hanging",) * 6 + ("upright",) * 1 + ("uniform",) * 3
"""How a round's episodes begin, in turn: mostly as trials do."""

LARGEST_GRADIENT: Final = 0.5
LAST_RATE: Final = 0.05
"""Share of the learning rate that is left in the last round."""

WARM_UP_ROUNDS: Final = 10
"""Rounds in which the rate rises. Adam's first steps are as long as the later ones, whatever the
gradient, and would undo much of what was learnt before."""

CHECKPOINT: Final = "reinforced.pt"


@dataclass(frozen=True)
class ReinforcementSettings:
    """Settings of a reinforcement; the learning rate falls along a cosine over the rounds.

    Attributes:
        family: the family of the rigs.
        begin: file of the student that learns further.
        rounds: number of rounds, each of driving and learning.
        critic_rounds: number of the first of these, in which the critic alone learns.
        rigs: number of rigs that are driven in each round.
        ticks: length of each episode.
        corner: share of the rigs that come from the corner of the family's ranges.
        noise: standard deviation of the duty's noise.
        calm_noise: the same where the pole is up and slow.
        horizon_s: time after which a reward counts for 1/e.
        lookahead_s: time over which rewards, and not the critic, say how it went.
        limit_cost: what meeting the limit costs besides all later rewards, in seconds of the
            greatest reward.
        clip: by how much a duty may become likelier or less likely in a round.
        passes: of each round, through all of its episodes.
        batch: number of episodes in a gradient step.
        chunk: ticks per gradient step; a gradient reaches back to the beginning of its chunk.
        learning_rate: Adam's learning rate for the student.
        critic_rate: the same for the critic.
        critic_hidden: neurons of each of the critic's layers.
        average: share that the running mean of the weights, which is saved, keeps of itself at each
            gradient step (Polyak and Juditsky 1992).
        seed: seed of the rigs, the episodes and the noise.
        checkpoint_rounds: number of rounds between checkpoints.
    """

    family: str = "cartpole"
    begin: str = ""
    rounds: int = 300
    critic_rounds: int = 4
    rigs: int = 384
    ticks: int = 800
    corner: float = 0.25
    noise: float = 0.25
    calm_noise: float = 0.08
    horizon_s: float = 5.0
    lookahead_s: float = 0.6
    limit_cost: float = 3.0
    clip: float = 0.2
    passes: int = 4
    batch: int = 96
    chunk: int = 400
    learning_rate: float = 1e-3
    critic_rate: float = 1e-3
    critic_hidden: int = 64
    average: float = 0.995
    seed: int = 0
    checkpoint_rounds: int = 5


class Practised(NamedTuple):
    """What was seen, done and reached in a round, [ticks, rigs, ...]."""

    inputs: Array
    duties: Array
    """That the student gave."""
    asked: Array
    """The same with noise."""
    deviation: Array
    """Of that noise."""
    rewards: Array
    """Times the period, in s."""
    running: NDArray[np.bool_]
    """Of one tick more: whether the rig has not yet met its limit before the tick."""
    seen: Array
    """By the critic, likewise."""
    periods_s: Array
    """[rigs]."""


class Reinforcement:
    """A reinforcement that resumes where it was stopped, and ends as if it had not been.

    Args:
        settings: settings; a run that is resumed must have the same, except for its rounds.
        folder: folder of its checkpoint and its curve.
        label: label of the progress bar.

    Raises:
        UserError: there is no student to begin with, or the folder holds a run of other settings.
    """

    def __init__(
        self, settings: ReinforcementSettings, folder: Path, label: str = "reinforcement"
    ) -> None:
        self.settings, self.folder, self._label = settings, folder, label
        torch.manual_seed(settings.seed)
        learnt = read_any(Path(settings.begin))
        self.student = GruStudent(learnt.weight_hh.shape[1])
        take(self.student, learnt)
        self.averaged = copy.deepcopy(self.student)
        self.critic = Critic(self.student.gru.hidden_size, settings.critic_hidden)
        self._surrogate = Surrogate(self.student)
        self._adam = torch.optim.Adam(self.student.parameters(), settings.learning_rate)
        self._critic_adam = torch.optim.Adam(self.critic.parameters(), settings.critic_rate)
        self.round = self._steps = 0
        self._resume()

    def run(self) -> None:
        """Drive and learn for all rounds that are left."""
        left = range(self.round, self.settings.rounds)
        for number in Progress(left, desc=self._label, unit="round"):
            began = time.monotonic()
            practised = self._drive(number)
            driven = time.monotonic()
            advantages, returns = self._judged(practised)
            figures = self._learn_worths(number, practised, returns)
            if number >= self.settings.critic_rounds:
                figures |= self._learn(number, practised, advantages)
            self.round = number + 1
            now = time.monotonic()
            figures |= {
                "reward": float((practised.rewards / practised.periods_s).mean()),
                "met_limit": float(1.0 - practised.running[-1].mean()),
                "driving_s": driven - began,
                "seconds": now - began,
            }
            self._note({"round": number, **figures})
            if self.round % self.settings.checkpoint_rounds == 0 or number == left[-1]:
                self.save()

    def _drive(self, number: int) -> Practised:
        """Drive a round's rigs with noise."""
        settings = self.settings
        first = 1_000_000 * (settings.seed + 1) + number * settings.rigs
        numbers = range(first, first + settings.rigs)
        starts = [STARTS[(number + 7 * k) % len(STARTS)] for k in range(settings.rigs)]
        rigs = [drawn_rig(settings.family, settings.corner, each) for each in numbers]
        rigs = [
            replace(rig, start=AT_REST) if start == REST else rig
            for rig, start in zip(rigs, starts, strict=True)
        ]
        episodes = PendulumEpisodes(
            rigs,
            [episode_seed(Series.DAGGER, each) for each in numbers],
            start=["hanging" if start == REST else start for start in starts],
            # An episode that is cut goes on, as far as the critic is concerned.
            steps=settings.ticks + 1,
        )
        random = np.random.default_rng([settings.seed, number, 2])
        seen_of = Seen(ModelBased(rigs, episodes.parameters))
        inputs_of, actor = Inputs(rigs), acting(self.student)
        assert isinstance(actor, Acting)
        state = actor.reset(settings.rigs)
        periods_s = np.array([rig.period_s for rig in rigs], np.float32)
        kept: dict[str, list[NDArray[Any]]] = {name: [] for name in Practised._fields}
        for tick in range(settings.ticks + 1):
            inputs = inputs_of.of(episodes.observations)
            duty, state = actor.step(inputs, state)
            kept["seen"].append(seen_of.of(episodes.units.motion, episodes.duty, state))
            kept["running"].append(~episodes.is_over)
            if tick == settings.ticks:
                break
            deviation = self._deviation(inputs)
            asked = duty + deviation * random.standard_normal(settings.rigs).astype(np.float32)
            stepped = episodes.step(asked.astype(np.float64))
            rewards = stepped.rewards * kept["running"][-1] * periods_s
            row = (inputs, duty, asked, deviation, rewards.astype(np.float32))
            for name, array in zip(Practised._fields, row, strict=False):
                kept[name].append(array)
        stacked: dict[str, Any] = {name: np.array(arrays) for name, arrays in kept.items()}
        return Practised(**stacked | {"periods_s": periods_s})

    def _deviation(self, inputs: Array) -> Array:
        """Return standard deviations of the duty's noise [rigs] for inputs [rigs, 9]."""
        calm = (inputs[:, 3] > CALM_COSINE) & (np.abs(inputs[:, 4]) < CALM_RAD_S / POLE_RAD_S)
        return np.where(calm, self.settings.calm_noise, self.settings.noise).astype(np.float32)

    def _judged(self, practised: Practised) -> tuple[Array, Array]:
        """Return how much better than expected it went, and what the critic should have said, both
        [ticks, rigs]."""
        settings, running = self.settings, practised.running
        worths = self.critic.worths(practised.seen) * running
        fading = np.exp(-practised.periods_s / settings.horizon_s)
        looking = fading * np.exp(-practised.periods_s / settings.lookahead_s)
        met_limit = running[:-1] & ~running[1:]
        rewards = practised.rewards - settings.limit_cost * met_limit
        surprises = rewards + fading * worths[1:] - worths[:-1]
        advantages = np.zeros_like(practised.rewards)
        later = np.zeros_like(practised.periods_s)
        for tick in range(settings.ticks - 1, -1, -1):
            # What comes after a limit was met is 0, and so is the reward there.
            later = (surprises[tick] + looking * later) * running[tick]
            advantages[tick] = later
        return advantages, advantages + worths[:-1]

    def _learn_worths(self, number: int, practised: Practised, returns: Array) -> dict[str, float]:
        """Let the critic learn; return how much of the returns' variance it explained before."""
        running = practised.running[:-1]
        seen = torch.from_numpy(practised.seen[:-1][running])
        wanted = torch.from_numpy(returns[running])
        with torch.no_grad():
            parts = (seen[first : first + BATCH] for first in range(0, len(seen), BATCH))
            before = torch.cat([self.critic(part) for part in parts])
            explained = 1.0 - float((wanted - before).var() / wanted.var())
        random = np.random.default_rng([self.settings.seed, number, 3, 0])
        order = torch.from_numpy(random.permutation(len(seen)))
        for first in range(0, len(seen), BATCH):
            part = order[first : first + BATCH]
            self._critic_adam.zero_grad()
            loss = ((self.critic(seen[part]) - wanted[part]) ** 2).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.critic.parameters(), LARGEST_GRADIENT)
            self._critic_adam.step()
        return {"explained": explained}

    def _learn(self, number: int, practised: Practised, advantages: Array) -> dict[str, float]:
        """Let the student learn; return by how much its duties changed, in the noise's variance,
        and which share of them was clipped."""
        settings, running = self.settings, practised.running[:-1]
        done = 0.5 * (1.0 + math.cos(math.pi * number / settings.rounds))
        warm = min(1.0, (number + 1 - settings.critic_rounds) / WARM_UP_ROUNDS)
        for group in self._adam.param_groups:
            group["lr"] = settings.learning_rate * warm * (LAST_RATE + (1.0 - LAST_RATE) * done)
        deviation = advantages[running].std() + 1e-8
        scaled = (advantages - advantages[running].mean()) / deviation * running
        random = np.random.default_rng([settings.seed, number, 4])
        changes, clipped = [], []
        for _ in range(settings.passes):
            order = random.permutation(settings.rigs)
            for first in range(0, settings.rigs, settings.batch):
                chosen = order[first : first + settings.batch]
                carried = self._surrogate.begin(len(chosen))
                for start in range(0, settings.ticks, settings.chunk):
                    part = slice(start, start + settings.chunk), chosen
                    self._adam.zero_grad()
                    change, cut, carried = self._surrogate.of(
                        practised.inputs[part],
                        practised.duties[part],
                        practised.asked[part],
                        practised.deviation[part],
                        scaled[part],
                        running[part],
                        settings.clip,
                        carried,
                    )
                    torch.nn.utils.clip_grad_norm_(self.student.parameters(), LARGEST_GRADIENT)
                    self._adam.step()
                    self._average()
                    changes.append(change)
                    clipped.append(cut)
        return {"change": float(np.mean(changes)), "clipped": float(np.mean(clipped))}

    def _average(self) -> None:
        self._steps += 1
        keep = min(self.settings.average, self._steps / (self._steps + 10))
        with torch.no_grad():
            for mean, now in zip(
                self.averaged.parameters(), self.student.parameters(), strict=True
            ):
                mean.lerp_(now, 1.0 - keep)

    def _note(self, figures: dict[str, Any]) -> None:
        with (self.folder / CURVE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")

    def save(self) -> None:
        """Write the checkpoint."""
        with atomic_path(self.folder / CHECKPOINT) as temporary:
            torch.save(
                {
                    "settings": asdict(self.settings),
                    "round": self.round,
                    "steps": self._steps,
                    "student": self.student.state_dict(),
                    "averaged": self.averaged.state_dict(),
                    "critic": self.critic.state_dict(),
                    "adam": self._adam.state_dict(),
                    "critic_adam": self._critic_adam.state_dict(),
                },
                temporary,
            )

    def _resume(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        with intact(path):
            held = torch.load(path, weights_only=True)
            if held["settings"] | {"rounds": 0} != asdict(replace(self.settings, rounds=0)):
                raise UserError(f"{path} is of a run with other settings; give another folder")
            self.round, self._steps = held["round"], held["steps"]
            self.student.load_state_dict(held["student"])
            self.averaged.load_state_dict(held["averaged"])
            self.critic.load_state_dict(held["critic"])
            self._adam.load_state_dict(held["adam"])
            self._critic_adam.load_state_dict(held["critic_adam"])


def read_reinforced(folder: Path) -> tuple[Acting, dict[str, Any], int]:
    """Return the student of a reinforcement's last checkpoint, its settings, and the number of
    rounds that it has had.

    Raises:
        UserError: there is no checkpoint, or it is damaged.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise UserError(f"no {CHECKPOINT} in {folder}; reinforce a student there first")
    with intact(path):
        held = torch.load(path, weights_only=True)
        learnt = held["averaged"]
        student = GruStudent(learnt["duty.weight"].shape[1])
        student.load_state_dict(learnt)
        actor = acting(student)
        assert isinstance(actor, Acting)
        return actor, held["settings"], held["round"]
