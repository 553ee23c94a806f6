"""Updates a second of Bayesian Policy Distillation against a plain rewrite of the authors' update.

At Hopper's sizes (11 observations, 3 actions, critics 256-256, student 128-128, batch 256, a
student update every second critic update, 1,000,000 transitions). Both cores work in every row: two
processes of one thread, each pinned to its core, run the same variant at the same time. The
variants take turns of a second, so that what else the machine does falls on all alike. A ratio is
taken within a round; the interval is a bootstrap over rounds. The processor's time is given too, as
other work on the machine stretches the clock's.

    python benchmarks/training_speed.py [--rounds 15] [--write]
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from tqdm import tqdm

from common.files import write_json
from common.provenance import provenance

RESULTS = Path(__file__).resolve().parent / "results"
OBSERVATIONS, ACTIONS, TRANSITIONS = 11, 3, 1_000_000
SECONDS_A_TURN = 1.0
BASE = "authors"
STUDENTS = 8
VARIANTS = 6

Turn = tuple[int, str, float, float, float]
"""Round, variant, updates a second by the clock and by the processor, student updates in one."""


@dataclass(frozen=True)
class SpeedConfig:
    """What to measure."""

    rounds: int = 15
    """Turns of each variant."""
    transitions: int = TRANSITIONS
    """Rows of made-up data; fewer for a machine with little memory."""
    write: bool = False
    """Write results/training_speed.json."""


def made_up(transitions: int) -> Any:
    """A dataset of the wanted size; what it holds does not change the time."""
    from training.dataset import Dataset

    random = np.random.default_rng(0)

    def normal(width: int) -> Any:
        return random.standard_normal((transitions, width), dtype=np.float32)

    actions, never = np.tanh(normal(ACTIONS)), np.zeros(transitions, bool)
    signal = {"unit": "1", "scale": 1.0, "offset": 0.0, "low": None, "high": None}
    signals = {
        "observation": [signal | {"name": f"o{i}"} for i in range(OBSERVATIONS)],
        "action": [signal | {"name": f"a{i}", "low": -1.0, "high": 1.0} for i in range(ACTIONS)],
        "frames": 1,
        "period_s": 0.008,
        "rig": None,
    }
    return Dataset(
        observations=normal(OBSERVATIONS),
        actions=actions,
        teacher_actions=actions,
        rewards=normal(1)[:, 0],
        next_observations=normal(OBSERVATIONS),
        terminations=never,
        truncations=never,
        metadata={"signals": signals},
    )


def variants(dataset: Any) -> dict[str, tuple[Callable[[], None], int, float]]:
    """By name: an update, the students in it, and student updates an update."""
    import torch
    from plain_bpd import PlainBpd

    from training.batches import Batches
    from training.bpd import BayesianPolicyDistillation
    from training.config import BpdSettings
    from training.fitted import FittedCritics, FittedFacts

    def engine(students: int, settings: BpdSettings, fitted: Any = None) -> Callable[[], None]:
        device = torch.device("cpu")
        seeds = list(range(students))
        made = BayesianPolicyDistillation(
            dataset.first(settings.batch_size),
            dataset.signals,
            settings,
            seeds,
            device,
            None,
            fitted,
        )
        made.batches = batches
        return made.update

    batches = Batches(dataset, dataset.signals, BpdSettings().batch_size, torch.device("cpu"))

    ends = dataset.terminations[:, None].astype(np.float32)
    columns = (dataset.observations, dataset.actions, dataset.rewards[:, None])
    plain = PlainBpd((*columns, dataset.next_observations, ends))
    exact, low = BpdSettings(), BpdSettings(critic_dtype="bfloat16")
    sizes = (OBSERVATIONS + ACTIONS, *exact.critic_hidden, 1)
    count = 2 * sum((n + 1) * m for n, m in zip(sizes, sizes[1:], strict=False))
    fitted = FittedCritics(0.05 * torch.randn(count), FittedFacts(sizes, "", 0.99, 0, 0.0))
    often = replace(low, student_interval=1)
    return {
        BASE: (plain.update, 1, 0.5),
        "one student": (engine(1, exact), 1, 0.5),
        f"{STUDENTS} students": (engine(STUDENTS, exact), STUDENTS, 0.5),
        "one student, bfloat16": (engine(1, low), 1, 0.5),
        f"{STUDENTS} students, bfloat16": (engine(STUDENTS, low), STUDENTS, 0.5),
        f"{STUDENTS} students, critics fitted once": (
            engine(STUDENTS, often, fitted),
            STUDENTS,
            1.0,
        ),
    }


def turn(update: Callable[[], None], students: int) -> tuple[float, float]:
    """Updates a second by the clock and by the processor's time."""
    clock, processor, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - clock < SECONDS_A_TURN:
        update()
        update()  # one with and one without the student's turn
        done += 2 * students
    return done / (time.perf_counter() - clock), done / (time.process_time() - processor)


def work(core: int, config: SpeedConfig, barrier: Barrier, results: Any) -> None:
    """One process: takes all turns on its core, each together with the other process."""
    import torch

    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    every = variants(made_up(config.transitions))
    names = list(every)
    for update, _, _ in every.values():
        for _ in range(4):
            update()
    for number in range(config.rounds):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]
            update, students, share = every[name]
            barrier.wait()
            results.put((number, name, *turn(update, students), share))


def measured(config: SpeedConfig) -> list[Turn]:
    """All turns of all processes."""
    context = multiprocessing.get_context("spawn")
    cores = sorted(os.sched_getaffinity(0))[:2]
    barrier, results = context.Barrier(len(cores)), context.Queue()
    arguments = [(core, config, barrier, results) for core in cores]
    processes = [context.Process(target=work, args=each) for each in arguments]
    for process in processes:
        process.start()
    turns = config.rounds * VARIANTS * len(cores)
    rows = [results.get() for _ in tqdm(range(turns), desc="turns", unit="turn", disable=None)]
    for process in processes:
        process.join()
    return rows


def summary(rows: list[Turn]) -> dict[str, Any]:
    """Rates of both cores together, and ratios to the base with 95 % intervals, by variant."""
    clocks, processors = by_round(rows, 2), by_round(rows, 3)
    share = {row[1]: row[4] for row in rows}
    out = {}
    for name, clock in clocks.items():
        weight = share[name] / share[BASE]
        out[name] = {
            "updates_per_second": float(np.median(clock)),
            "student_updates_per_second": float(np.median(clock) * share[name]),
            "updates_per_processor_second": float(np.median(processors[name]) / 2),
            "ratio": interval(weight * clock / clocks[BASE]),
            "processor_ratio": interval(weight * processors[name] / processors[BASE]),
        }
    return out


def by_round(rows: list[Turn], column: int) -> dict[str, Any]:
    """By variant, the sum over processes in each round, [rounds]."""
    sums = {row[1]: np.zeros(1 + max(row[0] for row in rows)) for row in rows}
    for row in rows:
        sums[row[1]][row[0]] += row[column]
    return sums


def interval(ratios: Any) -> list[float]:
    """Median, and a 95 % bootstrap interval of it."""
    drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return [float(np.median(ratios)), float(low), float(high)]


def main(config: SpeedConfig) -> None:
    """Measure, print, and write where asked to."""
    load = os.getloadavg()[0]
    result = summary(measured(config))
    head = f"{'':44}{'updates/s':>10}{'students/s':>11}{'core s':>8}"
    print(f"{head}{'ratio by the clock':>27}{'by processor time':>27}")
    for name, row in result.items():
        ratios = "".join(
            f"{middle:11.2f} [{low:5.2f}, {high:5.2f}]"
            for middle, low, high in (row["ratio"], row["processor_ratio"])
        )
        rates = f"{row['updates_per_second']:10.0f}{row['student_updates_per_second']:11.0f}"
        rates += f"{row['updates_per_processor_second']:8.0f}"
        print(f"{name:44}{rates}{ratios}")
    if config.write:
        written = {
            "variants": result,
            "rounds": config.rounds,
            "load_before": load,
            "provenance": provenance(),
        }
        write_json(RESULTS / "training_speed.json", written)


if __name__ == "__main__":
    main(tyro.cli(SpeedConfig))
