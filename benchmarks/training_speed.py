"""Updates a second of Bayesian Policy Distillation against a plain rewrite of the authors' update.

At Hopper's sizes (11 observations, 3 actions, critics 256-256, student 128-128, batch 256, a
student update every second critic update, 1,000,000 transitions). Both cores work in every row.

There are two bases. The authors' program is one process whose two threads share one student's
products: that is how it is run. Two such processes of one thread, with a student each, are the
better use of two cores, and the harder base. The engine runs as two processes of one thread, each
pinned to its core. The variants take turns of a second, so that what else the machine does falls on
all alike. A ratio is taken within a round; the interval is a bootstrap over rounds. The processor's
time is given too, as other work on the machine stretches the clock's.

    python benchmarks/training_speed.py [--rounds 10] [--write]
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

from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance

RESULTS = Path(__file__).resolve().parent / "results"
OBSERVATIONS, ACTIONS, TRANSITIONS = 11, 3, 1_000_000
SECONDS_A_TURN = 1.0
THREADED, PROCESSES = "authors, one process of two threads", "authors, two processes"
BASES = (THREADED, PROCESSES)
STUDENTS = 16
"""A process; a dozen or more spread what an operation costs besides its arithmetic."""

Turn = tuple[int, str, float, float, float]
"""Round, variant, updates a second by the clock and by the processor, student updates in one."""


@dataclass(frozen=True)
class Variant:
    """What takes turns: an update, of how many students, and student updates in one."""

    update: Callable[[], None]
    students: int
    student_updates: float = 0.5


@dataclass(frozen=True)
class SpeedConfig:
    """What to measure."""

    rounds: int = 10
    """Turns of each variant."""
    transitions: int = TRANSITIONS
    """Rows of made-up data; fewer for a machine with little memory."""
    write: bool = False
    """Write results/training_speed.json."""


def synthetic(transitions: int) -> Any:
    """A dataset of the wanted size; what it holds does not change the time."""
    from sparsectl.training.data.dataset import Dataset

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


def plain_update(dataset: Any) -> Callable[[], None]:
    """The base: one student, the plain way."""
    from sparsectl.training.bpd.plain import PlainBpd

    ends = dataset.terminations[:, None].astype(np.float32)
    columns = (dataset.observations, dataset.actions, dataset.rewards[:, None])
    return PlainBpd((*columns, dataset.next_observations, ends)).update


def variants(dataset: Any) -> dict[str, Variant]:
    """What two processes of one thread do, by name."""
    import torch

    from sparsectl.training.bpd.bpd import BayesianPolicyDistillation
    from sparsectl.training.bpd.fitted_critics import FittedCritics, FittedFacts
    from sparsectl.training.data.batches import Batches
    from sparsectl.training.settings import BpdSettings

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
    exact, low = BpdSettings(), BpdSettings(critic_dtype="bfloat16")
    sizes = (OBSERVATIONS + ACTIONS, *exact.critic_hidden, 1)
    count = 2 * sum((n + 1) * m for n, m in zip(sizes, sizes[1:], strict=False))
    fitted = FittedCritics(0.05 * torch.randn(count), FittedFacts(sizes, "", 0.99, 0, 0.0))
    often = replace(low, student_interval=1)
    once = engine(STUDENTS, often, fitted)
    return {
        PROCESSES: Variant(plain_update(dataset), 1),
        "one student": Variant(engine(1, exact), 1),
        f"{STUDENTS} students": Variant(engine(STUDENTS, exact), STUDENTS),
        "one student, bfloat16": Variant(engine(1, low), 1),
        f"{STUDENTS} students, bfloat16": Variant(engine(STUDENTS, low), STUDENTS),
        f"{STUDENTS} students, critics fitted once": Variant(once, STUDENTS, 1.0),
    }


NAMES = (
    *BASES,
    "one student",
    f"{STUDENTS} students",
    "one student, bfloat16",
    f"{STUDENTS} students, bfloat16",
    f"{STUDENTS} students, critics fitted once",
)
"""In the order of the table."""


def turn(variant: Variant) -> tuple[float, float]:
    """Updates a second by the clock and by the processor's time of one core."""
    clock, processor, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - clock < SECONDS_A_TURN:
        variant.update()
        variant.update()  # one with and one without the student's turn
        done += 2 * variant.students
    return done / (time.perf_counter() - clock), done / (time.process_time() - processor)


def work(cores: list[int], config: SpeedConfig, barrier: Barrier, results: Any) -> None:
    """One process: takes its turns, on one core beside its twin or on both cores alone."""
    import torch

    os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))
    alone, dataset = len(cores) > 1, synthetic(config.transitions)
    every = {THREADED: Variant(plain_update(dataset), 1)} if alone else variants(dataset)
    for variant in every.values():
        for _ in range(4):
            variant.update()
    for number in range(config.rounds):
        for place in range(len(NAMES)):
            name = NAMES[(place + number) % len(NAMES)]
            barrier.wait()
            if name in every:
                clock, processor = turn(every[name])
                share = every[name].student_updates
                results.put((number, name, clock, processor * len(cores), share))


def measured(config: SpeedConfig) -> list[Turn]:
    """All turns of all processes."""
    context = multiprocessing.get_context("spawn")
    cores = sorted(os.sched_getaffinity(0))[:2]
    places = [cores, *([core] for core in cores)]
    barrier, results = context.Barrier(len(places)), context.Queue()
    processes = [
        context.Process(target=work, args=(place, config, barrier, results)) for place in places
    ]
    for process in processes:
        process.start()
    turns = config.rounds * (len(cores) * (len(NAMES) - 1) + 1)
    rows = [results.get() for _ in tqdm(range(turns), desc="turns", unit="turn", disable=None)]
    for process in processes:
        process.join()
    return rows


def summary(rows: list[Turn]) -> dict[str, Any]:
    """Rates of both cores together, and ratios to the bases with 95 % intervals, by variant."""
    clocks, processors = by_round(rows, 2), by_round(rows, 3)
    share = {row[1]: row[4] for row in rows}
    out = {}
    for name in NAMES:
        ratios = {
            base: {
                "clock": interval(share[name] / share[base] * clocks[name] / clocks[base]),
                "processor": interval(
                    share[name] / share[base] * processors[name] / processors[base]
                ),
            }
            for base in BASES
        }
        out[name] = {
            "updates_per_second": float(np.median(clocks[name])),
            "student_updates_per_second": float(np.median(clocks[name]) * share[name]),
            "updates_per_processor_second": float(np.median(processors[name]) / 2),
            "ratios": ratios,
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
    print(f"{'ratios to the authors, by processor time':44}{'a core':>8}", end="")
    print(f"{'one process of two threads':>28}{'two processes':>28}")
    for name, row in result.items():
        ratios = "".join(
            "{:14.2f} [{:4.2f}, {:5.2f}]".format(*row["ratios"][base]["processor"])
            for base in BASES
        )
        print(f"{name:44}{row['updates_per_processor_second']:8.0f}{ratios}")
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
