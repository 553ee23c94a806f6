"""Search for a higher return: improve a student beyond imitation, with its mask held.

Imitation makes a student as good as its teacher at best, and the student fails where its teacher
fails. A few hundred weights can be improved by their return itself, with evolution strategies
(Salimans et al. 2017). The perturbations are mirrored, and all of them act in the same episodes.
Half of these have the starts and units with which the student returned least, and losses there
count twice, or, where fewer failures are the aim, twenty times. A weight is perturbed the less, the
more the actions depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import gymnasium
import numpy as np
import torch
from torch import Tensor

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import Array, Mlp
from sparsectl.policy.student_file import StudentLayer
from sparsectl.training.environments.environments import make_environment, rig_of
from sparsectl.training.finetuning.candidates import KeptParameters, Values
from sparsectl.training.rollouts.running import RunningEpisode
from sparsectl.training.rollouts.seeds import Series, episode_seed
from sparsectl.training.rollouts.together import OfRig, OneByOne, Together
from sparsectl.training.settings import SearchAim, SearchSettings

SENSITIVITY_ROWS = 2_000
"""Number of observations that show how much the actions depend on a parameter."""

LEAST_SENSITIVITY = 0.1
"""Floor of a parameter's sensitivity, as the change of an action, relative to its range, per unit
of the parameter; parameters that hardly matter move no farther."""

MOMENTUM = 0.9

HARD_INTERVAL = 20
"""Generations after which the hard episodes are searched for anew."""

HARD_SHARE = 0.03
"""Share of the pool that counts as hard: the episodes that returned least."""

TAIL_LOSS = 0.15
"""A return below the mean by more than this share of the mean is counted with twice the
shortfall."""

FAILURE_COST = 20.0
"""How often that shortfall is counted where failures are the aim. What an episode returns beyond
the student's mean at the start then counts for nothing: a higher mean is bought with failures."""

RIG_EPISODES, OTHER_EPISODES = 2_048, 64
"""Most episodes that run side by side."""


class ReturnSearch:
    """A student whose kept weights move to where they return more; `update` is a generation.

    Args:
        environment: its name.
        observations: that the student meets, [N, n].
        layers: the student, with its masks.
        network: the same, acting in physical units; without a convolution, and no choices.
        settings: generations, perturbations and episodes.
        seed: of perturbations and episodes.
        keep, number: of the fine-tuning before it.

    Attributes:
        steps: generations.
        steps_done: of them.
    """

    def __init__(
        self,
        environment: str,
        observations: Array,
        layers: tuple[StudentLayer, ...],
        network: Mlp,
        settings: SearchSettings,
        seed: int,
        keep: int,
        number: int,
    ) -> None:
        self.settings, self.start = settings, layers
        self.steps, self.steps_done = settings.generations, 0
        self.keep, self.number = keep, number
        self.losses: dict[str, Tensor] = {}
        self._episodes = _Episodes(environment, seed)
        self._seed = seed
        self._parameters = KeptParameters(layers, network)
        self._values = torch.from_numpy(self._parameters.values())
        self._momentum = torch.zeros_like(self._values)
        self._marks = torch.zeros(2, dtype=torch.float64)
        self._hard = torch.zeros(self._hard_count(), dtype=torch.int64)
        random = np.random.default_rng(seed)
        count = min(SENSITIVITY_ROWS, len(observations))
        rows = random.choice(len(observations), count, replace=False)
        self._scale = self._perturbations(network, observations[rows])

    def update(self) -> None:
        """Run one generation: perturb, act, and move towards the perturbations that return more."""
        if self.steps_done % HARD_INTERVAL == 0:
            self._find_hard()
        settings, generation = self.settings, self.steps_done
        random = np.random.default_rng([self._seed, generation])
        noise = random.standard_normal((settings.pairs, len(self._values)))
        by = settings.spread * self._scale * noise
        values = self._values.numpy()
        returns = self._returns(np.concatenate([values + by, values - by]), self._numbers(random))
        low, mean = self._marks.tolist()
        fitness = fitness_of(returns, low, mean, settings.aim)
        better = (fitness[: settings.pairs] - fitness[settings.pairs :]) / 2.0
        size = math.sqrt(float((better**2).mean()))
        gradient = (better[:, None] * noise).mean(axis=0) / (size or 1.0)
        momentum = MOMENTUM * self._momentum.numpy() + (1.0 - MOMENTUM) * gradient
        rate = settings.rate * (1.0 - generation / self.steps)
        warm = 1.0 - MOMENTUM ** (generation + 1)
        moved = values + rate * settings.spread * self._scale * math.sqrt(settings.pairs) * (
            momentum / warm
        )
        self._momentum.copy_(torch.from_numpy(momentum))
        self._values.copy_(torch.from_numpy(moved))
        self.losses["lost_return"] = torch.tensor(-float(fitness.mean()))
        self.steps_done += 1

    def layers(self) -> tuple[StudentLayer, ...]:
        """Return the student's present layers."""
        return self._parameters.layers(self._values.numpy())

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next generation depends on, except the seed and the number of
        generations."""
        return {
            "search.values": self._values,
            "search.momentum": self._momentum,
            "search.marks": self._marks,
            "search.hard": self._hard,
        }

    def load(self, state: dict[str, Tensor], steps_done: int) -> None:
        """Continue from a checkpoint."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self.steps_done = steps_done

    def _hard_count(self) -> int:
        return max(self.settings.episodes // 2, round(HARD_SHARE * self.settings.pool))

    def _find_hard(self) -> None:
        """Run the present student in the whole pool, and note which episodes are hard now."""
        numbers = list(range(self.settings.pool))
        returns = self._returns(self._values.numpy()[None], [(0, each) for each in numbers])[0]
        self._hard.copy_(torch.from_numpy(np.argsort(returns, kind="stable")[: len(self._hard)]))
        if not self.steps_done:
            mean = float(returns.mean())
            self._marks[:] = torch.tensor([mean - TAIL_LOSS * abs(mean), mean])

    def _numbers(self, random: np.random.Generator) -> list[tuple[int, int]]:
        """Return the generation's episodes: half of them hard ones of the pool, half such as no
        generation had before."""
        count = self.settings.episodes
        hard = random.choice(self._hard.numpy(), count // 2, replace=False)
        fresh = [(self.steps_done + 1, number) for number in range(count - count // 2)]
        return [*((0, int(number)) for number in hard), *fresh]

    def _returns(self, values: Values, numbers: Sequence[tuple[int, int]]) -> Values:
        """Return returns [students, episodes] of students with these values, [students,
        parameters]."""
        most = self._episodes.most
        if len(numbers) > most:
            parts = [numbers[i : i + most] for i in range(0, len(numbers), most)]
            return np.concatenate([self._returns(values, part) for part in parts], axis=1)
        at_once = max(1, most // len(numbers))
        found = []
        for first in range(0, len(values), at_once):
            students = self._parameters.stacked(values[first : first + at_once])
            count = len(students.weights[0])
            running = self._episodes.begin(list(numbers) * count)
            sums = np.zeros(count * len(numbers))
            while not running.is_over.all():
                going = ~running.is_over
                observed = running.observations.reshape(count, len(numbers), -1)
                steps = running.step(students.act(observed).reshape(len(sums), -1))
                sums += np.where(going, steps.rewards, 0.0)
            found.append(sums.reshape(count, -1))
        returns = np.concatenate(found)
        if not np.isfinite(returns).all():
            raise UserError(
                f"a return in {self._episodes.environment} is not a finite number; fix its reward"
            )
        return returns

    def _perturbations(self, network: Mlp, observations: Array) -> Values:
        """Return how far a perturbation of 1 moves each parameter, such that a small one, alone,
        changes the actions by about that multiple of their range."""
        values = self._parameters.values()
        at = self._parameters.stacked(values[None]).act(observations[None])[0]
        scale = np.empty_like(values)
        for i, value in enumerate(values):
            step = 1e-3 * max(abs(value), 0.1)
            moved = values.copy()
            moved[i] += step
            other = self._parameters.stacked(moved[None]).act(observations[None])[0]
            gradient = (other - at) / (step * network.action_scale)
            scale[i] = 1.0 / math.sqrt(float((gradient**2).mean()) + LEAST_SENSITIVITY**2)
        return scale


def fitness_of(returns: Values, low: float, mean: float, aim: SearchAim) -> Values:
    """Return the fitness [students] for returns [students, episodes]: the mean, less the mean
    shortfall from the threshold of a low return, as much as the aim asks.

    Args:
        returns: of the episodes.
        low: threshold of a low return.
        mean: of the student's returns at the start.
        aim: of the search.
    """
    missing = np.maximum(low - returns, 0.0)
    if aim == "failures":
        returns, missing = np.minimum(returns, mean), FAILURE_COST * missing
    fitness: Values = (returns - missing).mean(axis=1)
    return fitness


class _Episodes:
    """Runs episodes of an environment side by side, again and again."""

    def __init__(self, environment: str, seed: int) -> None:
        self.environment, self._seed = environment, seed
        self._of_rig = rig_of(environment)
        self.most = OTHER_EPISODES if self._of_rig is None else RIG_EPISODES
        self._environments: list[gymnasium.Env[object, object]] = []

    def begin(self, numbers: Sequence[tuple[int, int]]) -> Together:
        """Begin these episodes, each (generation, number); generation 0 is the pool."""
        seed = self._seed
        if self._of_rig is not None:
            return OfRig(
                self._of_rig, [episode_seed(Series.SEARCH, n, seed, of) for of, n in numbers]
            )
        while len(self._environments) < len(numbers):
            self._environments.append(make_environment(self.environment))
        environments = self._environments[: len(numbers)]
        begun = [
            RunningEpisode(one, episode_seed(Series.SEARCH, n, seed, of))
            for one, (of, n) in zip(environments, numbers, strict=True)
        ]
        return OneByOne(environments, begun)
