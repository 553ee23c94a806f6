"""Policy Distillation's tables (Rusu et al. 2015) on MinAtar: results/policy_distillation.json.

Students of the shipped teachers of MinAtar's games: each loss at each size, several games in one
network, and sparse ones beside small dense ones of the same bytes. Every student meets the same
episodes, by which nothing was chosen. A row is written when it is finished and not run again, so
the same command resumes where it was stopped. A results file has rows of one set of settings and of
the same teachers; others are refused, since their rows would be averaged together.

    python benchmarks/policy_distillation.py [--games breakout freeway] [--seeds 0 1 2 3 4]

The teachers are PPO's here and DQN's in the paper, and so the temperature is 1, of logits; the
replay memories have 20,000 transitions in place of ten hours, ε is 0.05 in both.
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
"""Fine-tunings over which a sparse student falls to its number of weights."""


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
    transitions: int = 20_000
    """Of each replay memory."""
    steps: int = 1_500
    """Minibatches of 128; several games take as many for each."""
    finetune: int = 0
    """Minibatches of 256 after those, at a rate that falls to zero; none for sparse students and
    small dense ones, which have their own."""
    episodes: int = 20
    """Of each student."""
    teacher_episodes: int = 100
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
            "finetune": FinetuneOptions(steps=2 * config.steps, prune_rounds=PRUNE_ROUNDS),
        },
    )
    longer = FinetuneOptions(steps=2 * config.steps * PRUNE_ROUNDS)
    yield Asked(
        key | {"kind": "small"},
        (game,),
        alike | {"method": "small", "hidden": (8,), "finetune": longer},
    )


def memory_of(game: str, config: TablesConfig) -> Path:
    """The game's replay memory."""
    path = config.runs / f"{game}-{mark(teacher_of(game))}-{config.transitions}.npz"
    if not path.exists():
        teacher, env = teacher_of(game), env_of(game)
        collect(CollectConfig(teacher, env, path, config.transitions, 0.05, 1.0, workers=1))
    return path


def returns_of(act: Act, game: str, episodes: int) -> list[float]:
    """Of the benchmark's own episodes."""
    found = run_episodes(env_of(game), act, episodes=episodes, seed=0, series=Series.BENCHMARK)
    return rounded(found.returns)


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
    student = Path(result["student"])
    several = len(asked.games) > 1
    returns = {
        game: returns_of(
            load_acting(student, LoadOptions(task=number if several else None)).act,
            game,
            config.episodes,
        )
        for number, game in enumerate(asked.games)
    }
    return {
        **asked.key,
        "weights": result["kept_weights"],
        "teacher_weights": result["teacher_weights"],
        "table_bytes": table_bytes(student),
        "other_choices": round(result["steps"][-1]["imitation_error"], 4),
        "revision": revision(),
        "returns": returns,
    }


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
    return found


def main(config: TablesConfig) -> None:
    """Run what is not finished yet, and write the results' file after each row."""
    torch.set_num_threads(1)
    found = begun(config)
    for game in config.games:
        if game not in found["teachers"]:
            teacher = load_acting(teacher_of(game))
            found["teachers"][game] = returns_of(teacher.act, game, config.teacher_episodes)
            found["teacher_marks"][game] = mark(teacher_of(game))
        if game not in found[CHANCE]:
            found[CHANCE][game] = returns_of(by_chance(game), game, config.teacher_episodes)
            write_json(config.out, found | {"provenance": here()})
    keys = [{name: row[name] for name in row if name in KEYS} for row in found["rows"]]
    for asked in students(config):
        if asked.key not in keys:
            found["rows"].append(row_of(asked, config))
            write_json(config.out, found | {"provenance": here()})


CHANCE = "by_chance"
"""Of a results file: returns of a player that takes every choice equally often, by game."""
KEYS = ("kind", "game", "games", "loss", "size", "seed")
"""Of a row: what tells it from another."""
SHARED = ("transitions", "steps", "finetune", "episodes", "teacher_episodes")
"""Settings that all rows of a results file have alike."""

if __name__ == "__main__":
    main(tyro.cli(TablesConfig))
