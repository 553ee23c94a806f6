"""Policy Distillation's tables (Rusu et al. 2015) on MinAtar: results/policy_distillation.json.

Students of the shipped teachers of MinAtar's games: each loss at each size, several games in one
network, and sparse ones beside small dense ones of the same bytes. Every student meets the same
episodes, by which nothing was chosen. A row is written when it is finished and not run again, so
the same command resumes where it was stopped; with more `--episodes` than before, students that are
still in `--runs` play the further ones. A results file has rows of one set of settings and of the
same teachers; others are refused, since their rows would be averaged together.

    python benchmarks/policy_distillation.py [--games breakout freeway] [--seeds 0 1 2 3 4]

The teachers are PPO's here and DQN's in the paper, and so the temperature is 1, of logits; the
replay memories have 200,000 transitions in place of ten hours, ε is 0.05 in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from measured import here, mark, rounded

from sparsectl.commands.distill import distill
from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, write_json
from sparsectl.common.provenance import revision
from sparsectl.export.table_bytes import table_bytes
from sparsectl.policy.acting.states import Act
from sparsectl.policy.choices import choices_of
from sparsectl.policy.load import LoadOptions, load, load_acting
from sparsectl.training.config import CollectConfig, DistillConfig
from sparsectl.training.rollouts.collect import collect
from sparsectl.training.rollouts.evaluate import run_episodes
from sparsectl.training.rollouts.seeds import Series
from sparsectl.training.settings import FinetuneOptions
from sparsectl.training.teachers.teach import signals_of

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "policy_distillation.json"
TEACHERS = ROOT / "training" / "teachers"

JSON = dict[str, Any]

SIZES = {100: (16, 48), 25: (8, 24), 7: (4, 13), 4: (3, 10)}
"""By per cent of a teacher's weights about: channels of the convolution, and neurons behind it."""
PRUNE_ROUNDS = 3
"""Fine-tunings over which a sparse student falls to its number of weights; a student's minibatches
of 256 are shared out among them."""


@dataclass(frozen=True)
class TablesConfig:
    """Which to run, and for how long."""

    games: tuple[str, ...] = ("breakout", "space_invaders", "freeway", "asterix", "seaquest")
    """Of the shipped teachers' names, without `minatar_`."""
    losses: tuple[str, ...] = ("kl", "nll", "mse")
    sizes: tuple[int, ...] = tuple(SIZES)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    parts: tuple[str, ...] = ("single", "several", "sparse")
    """single: a student of each game; several: one of all the games; sparse: `kept` per cent of the
    weights, and a small dense one of the same bytes."""
    kept: tuple[float, ...] = (2, 7, 1, 4)
    """Per cent of a teacher's weights, in the sparse students."""
    transitions: int = 200_000
    """Of each replay memory."""
    steps: int = 500
    """Minibatches of 128; several games take as many for each."""
    finetune: int = 100_000
    """Minibatches of 256 after those, at a rate that falls to zero; several games take as many for
    each."""
    episodes: int = 100
    """Of each student."""
    teacher_episodes: int = 500
    runs: Path = ROOT / "runs" / "policy_distillation"
    """Where replay memories and students are kept."""
    out: Path = RESULTS


@dataclass(frozen=True)
class Asked:
    """One student: its row's key, and what `distill` is asked for."""

    key: JSON
    games: tuple[str, ...]
    settings: JSON = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its folder."""
        words = (value if isinstance(value, list) else [value] for value in self.key.values())
        return "-".join("+".join(map(str, each)) for each in words)


def env_of(game: str) -> str:
    """Gymnasium's id."""
    return f"MinAtar/{game.title().replace('_', '')}-v1"


def teacher_of(game: str) -> Path:
    """The shipped file."""
    return TEACHERS / f"minatar_{game}.onnx"


def students(config: TablesConfig) -> Iterator[Asked]:
    """All that are asked for, a seed of everything before the next seed."""
    for seed in config.seeds:
        for loss in config.losses if "single" in config.parts else ():
            for game in config.games:
                for size in config.sizes:
                    key = {"kind": "single", "game": game, "loss": loss, "size": size, "seed": seed}
                    channels, hidden = SIZES[size]
                    shape = {"loss": loss, "channels": channels, "hidden": (hidden,), "seed": seed}
                    yield Asked(key, (game,), shape)
        for loss in config.losses if "several" in config.parts and len(config.games) > 1 else ():
            channels, hidden = SIZES[100]
            key = {"kind": "several", "games": [*config.games], "loss": loss, "seed": seed}
            shape = {"loss": loss, "channels": channels, "hidden": (hidden,), "seed": seed}
            yield Asked(key, config.games, shape | {"steps": config.steps * len(config.games)})
        if "sparse" in config.parts:
            for kept, game in product(config.kept, config.games):
                yield from sparse_and_small(config, game, kept, seed)


def sparse_and_small(config: TablesConfig, game: str, kept: float, seed: int) -> Iterator[Asked]:
    """A sparse student of `kept` per cent of the weights, cut from one of 25 %; then a small dense
    one, which learns from as many minibatches."""
    key = {"kind": "sparse", "game": game, "loss": "kl", "size": kept, "seed": seed}
    channels, hidden = SIZES[25]
    alike = {"loss": "kl", "seed": seed}
    yield Asked(
        key,
        (game,),
        alike
        | {
            "channels": channels,
            "hidden": (hidden,),
            "keep": round(kept / 100 * load(teacher_of(game)).kept_weights),
            "finetune": FinetuneOptions(
                steps=config.finetune // PRUNE_ROUNDS, prune_rounds=PRUNE_ROUNDS
            ),
        },
    )
    yield Asked(key | {"kind": "small"}, (game,), alike | {"method": "small", "hidden": (8,)})


def memory_of(game: str, config: TablesConfig) -> Path:
    """The game's replay memory."""
    path = config.runs / f"{game}-{mark(teacher_of(game))}-{config.transitions}.npz"
    if not path.exists():
        teacher, env = teacher_of(game), env_of(game)
        collect(CollectConfig(teacher, env, path, config.transitions, 0.05, 1.0, workers=1))
    return path


def returns_of(act: Act, game: str, episodes: int, known: list[float] | None = None) -> list[float]:
    """Of the benchmark's own episodes; those that are `known` are played again where there are to
    be more, which shows that the player is the same.

    Raises:
        UserError: it is another.
    """
    if known and len(known) >= episodes:
        return known
    played = run_episodes(env_of(game), act, episodes=episodes, seed=0, series=Series.BENCHMARK)
    found = rounded(played.returns)
    if known and found[: len(known)] != known:
        raise UserError(
            f"a player of {game} returns {found[: len(known)]} where its row has {known}; it is "
            "not the row's: give other --runs, or as many episodes as there are"
        )
    return found


def by_chance(game: str) -> Act:
    """A player that takes every choice equally often, whatever it sees."""
    choices, random = choices_of(signals_of(env_of(game))), np.random.default_rng(0)
    assert choices is not None
    count = choices.count
    return lambda seen: random.integers(count, size=(len(seen), 1)).astype(np.float32)


def row_of(asked: Asked, config: TablesConfig) -> JSON:
    """The student distilled, and what it returns in each of its games."""
    memories = tuple(memory_of(game, config) for game in asked.games)
    settings: JSON = {
        "method": "policy-distillation",
        "preset": "quick",
        "steps": config.steps,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "workers": 1,
        "finetune": FinetuneOptions(steps=config.finetune * len(asked.games)),
    } | asked.settings
    if asked.key["kind"] == "small":
        sparse = asked.name.replace("small", "sparse", 1)
        settings["table_bytes"] = table_bytes(config.runs / sparse / "student.safetensors")
    result = distill(DistillConfig(memories, config.runs / asked.name, **settings))
    student = student_of(asked, config)
    return {
        **asked.key,
        "weights": result["kept_weights"],
        "teacher_weights": result["teacher_weights"],
        "table_bytes": table_bytes(student),
        "other_choices": round(result["steps"][-1]["imitation_error"], 4),
        "revision": revision(),
        "returns": played(asked, config),
    }


def student_of(asked: Asked, config: TablesConfig) -> Path:
    """Its file."""
    return config.runs / asked.name / "student.safetensors"


def played(
    asked: Asked, config: TablesConfig, known: dict[str, list[float]] | None = None
) -> dict[str, list[float]]:
    """What the student returns in each of its games."""
    several = len(asked.games) > 1
    found = {}
    for number, game in enumerate(asked.games):
        options = LoadOptions(task=number if several else None)
        act = load_acting(student_of(asked, config), options).act
        found[game] = returns_of(act, game, config.episodes, (known or {}).get(game))
    return found


def begun(config: TablesConfig) -> JSON:
    """What the results file has so far; the settings and teachers are those of all its rows.

    Raises:
        UserError: it has rows of other settings, or of another teacher.
    """
    settings = {name: getattr(config, name) for name in SHARED}
    if not config.out.exists():
        return {"settings": settings, "teachers": {}, "teacher_marks": {}, CHANCE: {}, "rows": []}
    found: JSON = {CHANCE: {}} | read_json(config.out)
    for name, value in settings.items():
        if found["settings"].get(name) != value:
            raise UserError(
                f"{name} is {value}, but {config.out} has rows with {found['settings'].get(name)}; "
                "give another --out, or the same settings"
            )
    for game, its in found["teacher_marks"].items():
        if mark(teacher_of(game)) != its:
            raise UserError(
                f"{teacher_of(game).name} is another teacher than that of the rows in "
                f"{config.out}; give another --out"
            )
    return found | {"settings": settings}


def main(config: TablesConfig) -> None:
    """Run what is not finished yet, and write the results' file after each row."""
    torch.set_num_threads(1)
    found = begun(config)
    for game in config.games:
        known = found["teachers"].get(game), found[CHANCE].get(game)
        act = load_acting(teacher_of(game)).act
        found["teachers"][game] = returns_of(act, game, config.teacher_episodes, known[0])
        found["teacher_marks"][game] = mark(teacher_of(game))
        found[CHANCE][game] = known[1] or returns_of(by_chance(game), game, CHANCE_EPISODES)
        if known != (found["teachers"][game], found[CHANCE][game]):
            write_json(config.out, found | {"provenance": here()})
    keys = [{name: row[name] for name in row if name in KEYS} for row in found["rows"]]
    for asked in students(config):
        if asked.key not in keys:
            found["rows"].append(row_of(asked, config))
            write_json(config.out, found | {"provenance": here()})
            continue
        row = found["rows"][keys.index(asked.key)]
        fewest = min(map(len, row["returns"].values()))
        if fewest < config.episodes and student_of(asked, config).exists():
            row["returns"] = played(asked, config, row["returns"])
            write_json(config.out, found | {"provenance": here()})


CHANCE = "by_chance"
"""Of a results file: returns of a player that takes every choice equally often, by game."""
CHANCE_EPISODES = 100
KEYS = ("kind", "game", "games", "loss", "size", "seed")
"""Of a row: what tells it from another."""
SHARED = ("transitions", "steps", "finetune")
"""Settings that all rows of a results file have alike."""

if __name__ == "__main__":
    main(tyro.cli(TablesConfig))
