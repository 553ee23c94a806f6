"""One policy for any rig: how many rigs that were never drawn before it swings up and balances.

    python benchmarks/any_rig.py train --folder runs/any_cartpole [--settings.family furuta]
    python benchmarks/any_rig.py reinforce --folder runs/any_cartpole_reinforced
    python benchmarks/any_rig.py measure --rigs 1000 [--student FILE] [--others FILE...]
    python benchmarks/any_rig.py ship --student runs/any_cartpole [--out FILE]
    python benchmarks/any_rig.py own

`train` distils the teacher that sees a rig's numbers into a recurrent student (or, with
--settings.units 0, into one of stacked frames), and resumes where it was stopped, as `reinforce`
does, which lets a student learn further from its own rewards. `measure` runs trials of 45 s on
drawn rigs and on the shipped one, of the teacher and of a student. `ship` makes the student of a
folder the one that comes with sparsectl. `own` compares it with the teacher that was trained for
the shipped rig alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import tyro  # noqa: E402
from driven_rigs import shipped_student  # noqa: E402
from scipy.stats import binomtest  # noqa: E402

from sparsectl.common.files import read_json, write_json  # noqa: E402
from sparsectl.common.progress import Progress  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.export.other_choices import wilson  # noqa: E402
from sparsectl.plants.drawing import draw_rig, figures_of  # noqa: E402
from sparsectl.plants.rig import Rig, load_rig  # noqa: E402
from sparsectl.training.any_rig.law import Gains  # noqa: E402
from sparsectl.training.any_rig.measure import Outcomes, trials  # noqa: E402
from sparsectl.training.any_rig.rollout import Actor  # noqa: E402
from sparsectl.training.any_rig.teacher import gains_for  # noqa: E402
from sparsectl.training.rollouts.seeds import Series, episode_seed  # noqa: E402

OUT = Path(__file__).parent / "results" / "any_rig.json"
SHIPPED = {"cartpole": "sensorsini_cartpole", "furuta": "qube_servo2"}

TEACHERS = Path(__file__).resolve().parent.parent / "training" / "teachers"

FIRST_RIG = 800_000_000
"""No rig from here on is drawn in training or in the choice of a gain. Earlier students were
measured on those from 500,000,000 and 600,000,000 on; those from 400,000,000 on served to see where
they fail."""

AT_ONCE = 250

Flags = npt.NDArray[np.bool_]

RUNS = "runs.json"
"""Of a distillation's folder: where each of its runs came from."""


@dataclass(frozen=True)
class Settings:
    """As `training.any_rig.distill.AnyRigSettings` has them."""

    family: str = "cartpole"
    rounds: int = 400
    rigs: int = 384
    updates: int = 12
    batch: int = 128
    kept: int = 8
    chunk: int = 150
    units: int = 22
    frames: int = 10
    hidden: tuple[int, int] = (24, 16)
    ticks: int = 1200
    again: float = 0.25
    corner: float = 0.0
    learning_rate: float = 4e-3
    average: float = 0.998
    near_upright: float = 0.0
    catching: float = 0.0
    near_limit: float = 0.0
    begin: str = ""
    keep: int = 0
    score: str = "magnitude"
    seed: int = 0


@dataclass(frozen=True)
class Train:
    """Distil."""

    folder: Path = Path("runs/any_cartpole")
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class ReinforcementSettings:
    """As `training.any_rig.reinforcement.ReinforcementSettings` has them."""

    family: str = "cartpole"
    begin: str = "benchmarks/results/any_cartpole_fourth.safetensors"
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


@dataclass(frozen=True)
class Reinforce:
    """Let a student learn further from its own rewards."""

    folder: Path = Path("runs/any_cartpole_reinforced")
    settings: ReinforcementSettings = field(default_factory=ReinforcementSettings)


@dataclass(frozen=True)
class Measure:
    """Run trials."""

    family: str = "cartpole"
    rigs: int = 1000
    shipped: int = 100
    """Randomised trials of the shipped rig of this family."""
    student: Path | None = None
    """File of a student; by default the one of this family that comes with sparsectl, if any."""
    others: tuple[Path, ...] = ()
    """Files of other students, to compare with on the same rigs."""


@dataclass(frozen=True)
class Ship:
    """Make a student the one that comes with sparsectl."""

    student: Path
    """Folder of a distillation or a reinforcement."""
    out: Path | None = None
    """File to write in place of the one that comes with sparsectl."""


@dataclass(frozen=True)
class Own:
    """Returns in the shipped rig's environment, of its own teacher and of the shipped student."""

    family: str = "cartpole"
    episodes: int = 100
    seed: int = 10_000


def main() -> None:
    """Run what was asked for."""
    asked = tyro.cli(Train | Reinforce | Measure | Ship | Own, description=__doc__.splitlines()[0])
    if isinstance(asked, Train):
        train(asked)
    elif isinstance(asked, Reinforce):
        reinforce(asked)
    elif isinstance(asked, Ship):
        ship(asked)
    elif isinstance(asked, Own):
        own(asked)
    else:
        measure(asked)


def ship(asked: Ship) -> None:
    """Write the student's file into the package."""
    from sparsectl.training.any_rig.acting import Acting
    from sparsectl.training.any_rig.deploy import student_path, write_any
    from sparsectl.training.any_rig.distill import read_student
    from sparsectl.training.any_rig.reinforcement import CHECKPOINT, read_reinforced

    reinforced = (asked.student / CHECKPOINT).is_file()
    read = read_reinforced if reinforced else read_student
    student, settings, rounds = read(asked.student)
    if not isinstance(student, Acting):
        raise SystemExit(f"{asked.student} holds a student of stacked frames; ship a GRU")
    facts = {"settings": settings, "rounds": rounds, "runs": read_json(asked.student / RUNS)}
    path = asked.out or student_path(settings["family"])
    write_any(path, student, {"family": settings["family"], **facts})
    print(path)


def own(asked: Own) -> None:
    """Run the same randomised episodes with both, and write the row of this family."""
    from sparsectl.policy.load import load_acting
    from sparsectl.training.rollouts.evaluate import run_episodes

    name = SHIPPED[asked.family]
    actors = {
        "teacher": load_acting(TEACHERS / f"{name}.onnx").acting,
        "student": shipped_student(asked.family, name),
    }
    returns = {
        who: run_episodes(
            f"sparsectl/{name}-v0", actor, episodes=asked.episodes, seed=asked.seed, progress=who
        ).returns
        for who, actor in actors.items()
    }
    random = np.random.default_rng(asked.seed)
    drawn = random.integers(0, asked.episodes, (10_000, asked.episodes))
    shares = returns["student"][drawn].mean(axis=1) / returns["teacher"][drawn].mean(axis=1)
    row = {
        "episodes": asked.episodes,
        **{who: float(each.mean()) for who, each in returns.items()},
        "share": float(returns["student"].mean() / returns["teacher"].mean()),
        "share_low": float(np.quantile(shares, 0.025)),
        "share_high": float(np.quantile(shares, 0.975)),
        "provenance": provenance(),
    }
    print(row)
    known = read_json(OUT)
    known["families"][asked.family]["own"] = row
    write_json(OUT, known)


def train(asked: Train) -> None:
    """Distil, or go on with it."""
    import torch

    from sparsectl.training.any_rig.distill import AnyRigDistillation, AnyRigSettings

    torch.set_num_threads(1)
    _note_run(asked.folder)
    AnyRigDistillation(AnyRigSettings(**vars(asked.settings)), asked.folder).run()


def reinforce(asked: Reinforce) -> None:
    """Reinforce, or go on with it."""
    import torch

    from sparsectl.training.any_rig import reinforcement

    torch.set_num_threads(1)
    _note_run(asked.folder)
    settings = reinforcement.ReinforcementSettings(**vars(asked.settings))
    reinforcement.Reinforcement(settings, asked.folder).run()


def _note_run(folder: Path) -> None:
    """Write beside a run's checkpoint what it was started from."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = folder / RUNS
    known = read_json(runs) if runs.exists() else []
    write_json(runs, [*known, provenance()])


def measure(asked: Measure) -> None:
    """Measure, and write the rows of this family, beside those of the other."""
    from sparsectl.training.any_rig.deploy import read_any, student_path

    # The teacher's law alone is measured beside the teacher, which looks ahead.
    actors: dict[str, Actor | None] = {"teacher": None, "law": None}
    student = asked.student or student_path(asked.family)
    if asked.student is not None or student.is_file():
        actors["student"] = read_any(student)
    actors |= {path.stem: read_any(path) for path in asked.others}
    rigs = [draw_rig(asked.family, FIRST_RIG + number) for number in range(asked.rigs)]
    shipped = [load_rig(SHIPPED[asked.family])] * asked.shipped
    rows: dict[str, Any] = {}
    balanced = {}
    for name, actor in actors.items():
        gains = gains_for(rigs) if name == "law" else None
        drawn = _run(rigs, actor, name, gains)
        own = _run(shipped, actor, f"{name}, shipped", gains)
        rows[name] = {"drawn": _figures(drawn), "shipped": _figures(own)}
        rows[name]["drawn"] |= _failures(drawn, rigs)
        balanced[name] = drawn.balanced
        for where, row in rows[name].items():
            low, high = row["share_low"], row["share_high"]
            print(f"{name}, {where}: {row['share']:.1%} [{low:.1%}, {high:.1%}] balance")
    known = read_json(OUT) if OUT.exists() else {"families": {}}
    family = known["families"].setdefault(asked.family, {})
    family |= {"rows": rows, "provenance": provenance()}
    family["paired"] = {
        path.stem: paired(balanced[path.stem], balanced["student"]) for path in asked.others
    }
    print(family["paired"])
    write_json(OUT, known)


def paired(now: Flags, before: Flags) -> dict[str, Any]:
    """How much larger the share of `now` is on the same rigs, with a 95 % interval (Newcombe 1998,
    "Improved confidence intervals for the difference between binomial proportions based on paired
    data", method 10), and the p-value of the exact sign test."""
    count, only_now, only_before = len(now), int((now & ~before).sum()), int((before & ~now).sum())
    both, neither = int((now & before).sum()), int((~now & ~before).sum())
    (low_1, high_1), (low_2, high_2) = (wilson(int(each.sum()), count) for each in (now, before))
    share_1, share_2 = now.mean(), before.mean()
    margins = float(now.sum() * (~now).sum() * before.sum() * (~before).sum())
    phi = (both * neither - only_now * only_before) / margins**0.5 if margins else 0.0

    def reach(a: float, b: float) -> float:
        return float(max(a * a - 2.0 * phi * a * b + b * b, 0.0) ** 0.5)

    difference = float(share_1 - share_2)
    test = binomtest(only_now, only_now + only_before) if only_now + only_before else None
    return {
        "only_other": only_now,
        "only_student": only_before,
        "difference": difference,
        "difference_low": difference - reach(share_1 - low_1, high_2 - share_2),
        "difference_high": difference + reach(high_1 - share_1, share_2 - low_2),
        "p": 1.0 if test is None else float(test.pvalue),
    }


def _run(rigs: list[Rig], actor: Actor | None, name: str, gains: Gains | None) -> Outcomes:
    """Trials in blocks, for the memory's sake; the same seeds for all who are compared."""
    parts = []
    for first in Progress(range(0, len(rigs), AT_ONCE), desc=name, unit="block"):
        block = range(first, min(first + AT_ONCE, len(rigs)))
        seeds = [episode_seed(Series.BENCHMARK, number) for number in block]
        parts.append(trials([rigs[number] for number in block], seeds, actor, gains=gains))
    columns = zip(
        *((p.balanced, p.swung_up_s, p.met_limit, p.mean_reward) for p in parts), strict=True
    )
    return Outcomes(*(np.concatenate(column) for column in columns))


def _figures(outcomes: Outcomes) -> dict[str, Any]:
    """Shares with Wilson's 95 % interval, times and rewards."""
    count, balanced = len(outcomes.balanced), int(outcomes.balanced.sum())
    interval = binomtest(balanced, count).proportion_ci(method="wilson")
    worst = np.sort(outcomes.mean_reward)[: max(1, count // 100)]
    times = outcomes.swung_up_s[outcomes.balanced]
    return {
        "rigs": count,
        "balanced": balanced,
        "share": balanced / count,
        "share_low": float(interval.low),
        "share_high": float(interval.high),
        "met_limit": int(outcomes.met_limit.sum()),
        "swing_up_s_median": float(np.median(times)) if balanced else None,
        "mean_reward": float(outcomes.mean_reward.mean()),
        "mean_reward_worst_hundredth": float(worst.mean()),
    }


def _failures(outcomes: Outcomes, rigs: list[Rig]) -> dict[str, Any]:
    """How the rigs failed that did, what sets them apart, and each of the worst hundredth."""
    late = ~outcomes.balanced & ~np.isnan(outcomes.swung_up_s)
    figures = [figures_of(rig) for rig in rigs]
    numbers = {
        "push_m_s2": [each.push for each in figures],
        "speed_m_s": [each.speed for each in figures],
        "length_m": [each.length_m for each in figures],
        "travel_lengths": [
            rig.base.limit * rig.lever_m / each.length_m
            for rig, each in zip(rigs, figures, strict=True)
        ],
        "period_s": [rig.period_s for rig in rigs],
    }
    failed = ~outcomes.balanced
    worst = np.argsort(outcomes.mean_reward, kind="stable")[: max(1, len(rigs) // 100)]
    return {
        "late": int(late.sum()),
        "not_up_at_end": int((failed & ~late & ~outcomes.met_limit).sum()),
        "failed_by_fifths": {
            name: [float(failed[part].mean()) for part in np.array_split(np.argsort(of), 5)]
            for name, of in numbers.items()
        },
        "medians": {
            name: {
                "failed": float(np.median(np.array(of)[failed])) if failed.any() else None,
                "balanced": float(np.median(np.array(of)[~failed])) if not failed.all() else None,
            }
            for name, of in numbers.items()
        },
        "worst": [
            {
                "rig": FIRST_RIG + int(k),
                "balanced": bool(outcomes.balanced[k]),
                "met_limit": bool(outcomes.met_limit[k]),
                "mean_reward": float(outcomes.mean_reward[k]),
                **{name: float(of[k]) for name, of in numbers.items()},
            }
            for k in worst
        ],
    }


if __name__ == "__main__":
    main()
