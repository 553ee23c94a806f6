"""Games learnt jointly by one network from their rewards: what students of several games have to
beat.

Rusu et al. (2015) set a student of several teachers beside a DQN that learns the games jointly.
Here the teachers are PPO's, and so PPO is the first choice; `--algo dqn` is there too. The network
has the student's shape: one convolution and one hidden layer that all games share, a head for each.
Its frames are those of all teachers together, unless `--frames` says otherwise. As with the
teachers the best of several evaluations is kept, by episodes that are not among the benchmark's.
Each evaluation writes a checkpoint, from which the same command goes on if it was stopped.

    python benchmarks/joint_learning.py [--algo ppo] [--frames 1200000] [--seeds 0]
"""

from __future__ import annotations

import copy
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3
import torch
import tyro
from gymnasium.spaces import Box, Discrete
from measured import here, rounded
from numpy.typing import NDArray
from policy_distillation import SIZES, TEACHERS, env_of, teacher_of
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path, read_json, write_json
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import revision
from sparsectl.policy.acting.states import Act
from sparsectl.policy.load import load
from sparsectl.policy.signals_json import image_of
from sparsectl.training.config import TeachConfig
from sparsectl.training.environments.environments import make_environment
from sparsectl.training.rollouts.evaluate import run_episodes
from sparsectl.training.rollouts.seeds import Series, episode_seed
from sparsectl.training.teachers.algorithms import ALGORITHMS
from sparsectl.training.teachers.image_network import ImageNetwork, kernels_of
from sparsectl.training.teachers.quiet_logger import quietened
from sparsectl.training.teachers.teach import signals_of
from sparsectl.training.teachers.teaching import resolved

RESULTS = Path(__file__).resolve().parent / "results" / "joint_learning.json"

JSON = dict[str, Any]
Array = NDArray[np.float32]

CHANNELS, HIDDEN = SIZES[100]
"""Of one teacher's network."""
KEYS = ("algo", "games", "frames", "seed", "episodes")
"""Of a row: what tells it from another."""
LEAST_SHARE = 1e-3
"""Of a teacher's score, so that a game that is not learnt at all has a logarithm."""


@dataclass(frozen=True)
class JointConfig:
    """Which games to learn jointly, how and for how long."""

    games: tuple[str, ...] = ("breakout", "space_invaders", "freeway")
    """Of the shipped teachers' names, without `minatar_`."""
    algo: str = "ppo"
    """ppo, as the teachers, or dqn, as in the paper."""
    frames: int | None = None
    """Of all games together; without it as many as all teachers had."""
    seeds: tuple[int, ...] = (0,)
    evaluations: int = 8
    """Along the training, of which the best is kept."""
    selection_episodes: int = 20
    """Of each game in an evaluation."""
    episodes: int = 20
    """In which what was kept is measured, the benchmark's own."""
    runs: Path = Path("runs/joint_learning")
    """Where the networks' checkpoints are kept."""
    out: Path = RESULTS


@dataclass(frozen=True)
class Game:
    """One of the games, as the network sees it.

    Attributes:
        shape: of its images [height, width, channels].
        choices: that it has.
    """

    env: str
    shape: tuple[int, int, int]
    choices: int


@dataclass(frozen=True)
class Games:
    """All of them: images padded to the most channels, choices to the most choices."""

    each: tuple[Game, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the padded images."""
        height, width, _ = self.each[0].shape
        return height, width, max(game.shape[2] for game in self.each)

    @property
    def choices(self) -> int:
        """Of every head; those that a game does not have stand for others of its own, in turn."""
        return max(game.choices for game in self.each)

    def seen(self, images: Array, number: int) -> Array:
        """[B, pixels and channels of its own] as [B, padded pixels and channels + games]."""
        height, width, channels = self.shape
        own = self.each[number].shape
        padded = np.zeros((len(images), height, width, channels), np.float32)
        padded[..., : own[2]] = images.reshape(-1, *own)
        which = np.zeros((len(images), len(self.each)), np.float32)
        which[:, number] = 1
        return np.concatenate([padded.reshape(len(images), -1), which], axis=1)


class OneOfGames(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A game, seen as every one of the games is."""

    def __init__(self, games: Games, number: int) -> None:
        super().__init__(make_environment(games.each[number].env))
        self._games, self._number = games, number
        size = int(np.prod(games.shape)) + len(games.each)
        self.observation_space = Box(0, 1, (size,), np.float32)
        self.action_space = Discrete(games.choices)

    def reset(self, **kwargs: Any) -> tuple[Array, JSON]:
        observation, info = self.env.reset(**kwargs)
        return self._seen(observation), info

    def step(self, action: Any) -> tuple[Array, Any, bool, bool, JSON]:
        own = int(action) % self._games.each[self._number].choices
        observation, reward, ended, cut, info = self.env.step(own)
        return self._seen(observation), reward, ended, cut, info

    def _seen(self, observation: Any) -> Array:
        return self._games.seen(np.asarray(observation, np.float32).reshape(1, -1), self._number)[0]


class SharedTrunk(BaseFeaturesExtractor):
    """Convolution and hidden layer of all games, [B, games * HIDDEN]: what comes out stands in its
    game's block, so that a linear layer behind it is a head for each."""

    def __init__(self, observation_space: Any, shape: tuple[int, int, int], games: int) -> None:
        super().__init__(observation_space, games * HIDDEN)
        self._games = games
        self.images = ImageNetwork(observation_space, shape, kernels_of(shape, CHANNELS))
        self.hidden = torch.nn.Linear(self.images.features_dim, HIDDEN)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """For images with the number of their game, one-hot, behind them."""
        image, game = observations[:, : -self._games], observations[:, -self._games :]
        trunk = torch.relu(self.hidden(self.images(image)))
        return (game[:, :, None] * trunk[:, None, :]).flatten(1)


class Keeper(BaseCallback):
    """Measures now and then, and keeps the parameters that score best over all games."""

    def __init__(self, config: JointConfig, games: Games, key: JSON, bar: Progress[Any]) -> None:
        super().__init__()
        self.config, self.games, self.bar = config, games, bar
        self.key = {name: key[name] for name in KEYS if name != "episodes"}
        self.every = key["frames"] // config.evaluations
        self.curve: list[JSON] = []
        self.best: tuple[float, JSON] = (-np.inf, {})
        named = "+".join(config.games)
        self.path = config.runs / f"{key['algo']}-{named}-{key['frames']}-{key['seed']}.pt"

    def resume(self, model: Any) -> None:
        """Load the checkpoint that an earlier process wrote, if there is one.

        What is not in it starts anew: the episodes under way and, with dqn, the replay memory.
        """
        if not self.path.exists():
            return
        held = torch.load(self.path, weights_only=True)
        if held["key"] != self.key:
            raise UserError(f"{self.path} is of a run with other settings; give another --runs")
        model.policy.load_state_dict(held["policy"])
        model.policy.optimizer.load_state_dict(held["adam"])
        model.num_timesteps, model._n_updates = held["frames"], held["updates"]
        self.curve, self.best = held["curve"], (held["share"], held["best"])
        self.bar.update(held["frames"])

    def save(self) -> None:
        """Write the checkpoint."""
        policy = self.model.policy
        share, best = self.best
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as temporary:
            torch.save(
                {
                    "key": self.key,
                    "frames": self.num_timesteps,
                    "updates": self.model._n_updates,
                    "policy": policy.state_dict(),
                    "adam": policy.optimizer.state_dict(),
                    "curve": self.curve,
                    "share": share,
                    "best": best,
                },
                temporary,
            )

    def _on_step(self) -> bool:
        self.bar.update(self.num_timesteps - self.bar.n)
        if self.num_timesteps >= (len(self.curve) + 1) * self.every:
            self.measure()
        return True

    def measure(self) -> None:
        """Evaluate the network as it is."""
        config, series = self.config, Series.TEACHER_SELECTION
        scores = {}
        for number, game in enumerate(config.games):
            returns = returns_of(self.model, self.games, number, config.selection_episodes, series)
            scores[game] = round(float(np.mean(returns)), 2)
        shares = [max(scores[game] / teachers_best(game), LEAST_SHARE) for game in config.games]
        share = float(np.exp(np.mean(np.log(shares))))
        self.curve.append({"frames": self.num_timesteps, "share": round(share, 4), **scores})
        if share > self.best[0]:
            self.best = share, copy.deepcopy(self.model.policy.state_dict())
        self.save()


def teachers_best(game: str) -> float:
    """The score by which the shipped teacher was kept, in the same episodes."""
    with (TEACHERS / f"minatar_{game}.csv").open() as file:
        return max(float(row["return_mean"]) for row in csv.DictReader(file))


def teachers_frames(games: tuple[str, ...]) -> int:
    """That all the teachers together were trained for."""
    origins = [read_json(TEACHERS / f"minatar_{game}.json") for game in games]
    return sum(int(origin["config"]["steps"]) for origin in origins)


def games_of(names: tuple[str, ...]) -> Games:
    """By the teachers' names."""
    found = []
    for name in names:
        environment = make_environment(env_of(name))
        space: Any = environment.action_space
        shape = image_of(signals_of(env_of(name)))
        assert shape is not None
        found.append(Game(env_of(name), shape, int(space.n)))
        environment.close()
    return Games(tuple(found))


def acting(model: Any, games: Games, number: int) -> Act:
    """What the network does in one of the games."""
    choices = games.each[number].choices

    def act(images: Array) -> Array:
        found, _ = model.predict(games.seen(images, number), deterministic=True)
        return np.asarray(found[:, None] % choices, np.float32)

    return act


def returns_of(
    model: Any, games: Games, number: int, episodes: int, series: Series
) -> NDArray[np.float64]:
    """In one of the games."""
    act = acting(model, games, number)
    env = games.each[number].env
    return run_episodes(env, act, episodes=episodes, seed=0, series=series).returns


def learner(config: JointConfig, games: Games, seed: int) -> Any:
    """With a game's settings of `sparsectl teach`, every game in as many environments."""
    teaching = TeachConfig(games.each[0].env, algo=config.algo, hidden=(HIDDEN,))
    settings = resolved(teaching)
    count, end = len(games.each), settings.learning_rate_end
    numbers = [k % count for k in range(max(1, settings.environments // count) * count)]
    vector = DummyVecEnv([lambda number=number: OneOfGames(games, number) for number in numbers])
    model = getattr(stable_baselines3, config.algo.upper())(
        "MlpPolicy",
        vector,
        learning_rate=lambda left: settings.learning_rate * (end + (1 - end) * left),
        gamma=settings.discount,
        policy_kwargs={
            "net_arch": [],
            "features_extractor_class": SharedTrunk,
            "features_extractor_kwargs": {"shape": games.shape, "games": count},
        },
        seed=episode_seed(Series.TEACHING, seed),
        device="cpu",
        **ALGORITHMS[config.algo].keywords(teaching, settings, {}),
    )
    return quietened(model)


def row_of(config: JointConfig, key: JSON) -> JSON:
    """The network learnt, and what it returns in each of the games."""
    games = games_of(config.games)
    model = learner(config, games, key["seed"])
    with Progress(total=key["frames"], desc=f"joint {config.algo}", unit="frame") as bar:
        keeper = Keeper(config, games, key, bar)
        keeper.resume(model)
        model.learn(key["frames"] - model.num_timesteps, callback=keeper, reset_num_timesteps=False)
    if not keeper.curve or keeper.curve[-1]["frames"] < model.num_timesteps:
        keeper.measure()
    model.policy.load_state_dict(keeper.best[1])
    returns = {
        game: rounded(returns_of(model, games, number, config.episodes, Series.BENCHMARK))
        for number, game in enumerate(config.games)
    }
    own = sum(load(teacher_of(game)).kept_weights for game in config.games)
    return {
        **key,
        "teacher_weights": own,
        "curve": keeper.curve,
        "returns": returns,
        "revision": revision(),
    }


def main(config: JointConfig) -> None:
    """Run what is not finished yet, and write the results' file after each row."""
    torch.set_num_threads(1)
    found: JSON = read_json(config.out) if config.out.exists() else {"rows": []}
    for seed in config.seeds:
        frames = config.frames or teachers_frames(config.games)
        key = {"algo": config.algo, "games": [*config.games], "frames": frames, "seed": seed}
        key["episodes"] = config.episodes
        if key not in [{name: row[name] for name in KEYS} for row in found["rows"]]:
            found["rows"].append(row_of(config, key))
            write_json(config.out, found | {"provenance": here()})


if __name__ == "__main__":
    main(tyro.cli(JointConfig))
