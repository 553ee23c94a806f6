"""How many steps a second the episodes of a rig take: one environment at a time, and side by side.

Both in one process and one thread, in turn, and the same episodes, so that what else the machine
does weighs on both alike; only the ratios are comparable from machine to machine.

    python benchmarks/episode_speed.py [--episodes 256] [--repeats 5]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance
from sparsectl.policy.acting.policy import ActingPolicy
from sparsectl.training.environments.environments import make_environment
from sparsectl.training.environments.signals import environment_signals
from sparsectl.training.rollouts.block import Behaviour, run_block
from sparsectl.training.rollouts.running import RunningEpisode
from sparsectl.training.rollouts.seeds import Series, episode_seed
from sparsectl.training.rollouts.together import OfRig, OneByOne, Together

OUT = Path(__file__).parent / "results" / "episode_speed.json"
BASELINE = 32
"""Episodes of one environment after another in a repeat."""


class Swaying:
    """Gives duties that sway the base, and costs nothing: the environment is what is measured."""

    observation_size, action_size = 25, 1

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        swayed: NDArray[np.float32] = np.sin(50.0 * observations[:, -5:-4]) * np.float32(0.3)
        return swayed


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = []
    _rate("sensorsini_cartpole", "side by side", 0, 2, 2)  # compiles, or loads what was compiled
    for rig in ("sensorsini_cartpole", "qube_servo2"):
        for repeat in tqdm(range(options.repeats), desc=rig):
            one = _rate(rig, "one by one", repeat, 1, BASELINE)
            for width in (32, 128, options.episodes):
                many = _rate(rig, "side by side", repeat, width, width)
                rows.append({"rig": rig, "width": width, "one_by_one": one, "side_by_side": many})
    summary = {
        f"{rig}, {width} side by side": _ratios(rows, rig, width)
        for rig, width in dict.fromkeys((row["rig"], row["width"]) for row in rows)
    }
    settings = {"episodes": options.episodes, "repeats": options.repeats}
    write_json(
        OUT, {"settings": settings, "summary": summary, "rows": rows, "provenance": provenance()}
    )
    for name, figures in summary.items():
        print(
            f"{name:40s} {figures['ratio']:5.1f}x [{figures['least']:.1f}, {figures['most']:.1f}]"
        )


def _rate(rig: str, how: str, repeat: int, width: int, episodes: int) -> float:
    """Environment steps in a second of the processor, with what is recorded of each."""
    name = f"sparsectl/{rig}-v0"
    environment = make_environment(name)
    signals = environment_signals(environment)
    behaviour = Behaviour(ActingPolicy(Swaying(), 0, ""))
    steps, began = 0, time.process_time()
    for first in range(0, episodes, width):
        numbers = range(first, first + width)
        running: Together
        if how == "one by one":
            begun = RunningEpisode(environment, episode_seed(Series.BENCHMARK, first, repeat))
            running = OneByOne([environment], [begun])
        else:
            running = OfRig(
                {"rig": rig},
                [episode_seed(Series.BENCHMARK, number, repeat) for number in numbers],
            )
        run = run_block(running, signals, behaviour, (Series.BENCHMARK, repeat), numbers, width)
        steps += sum(len(each.transitions) for each in run)
    return steps / (time.process_time() - began)


def _ratios(rows: list[dict[str, Any]], rig: str, width: int) -> dict[str, float]:
    """Medians and the span of the repeats."""
    chosen = [row for row in rows if (row["rig"], row["width"]) == (rig, width)]
    ratios = [row["side_by_side"] / row["one_by_one"] for row in chosen]
    return {
        "ratio": float(np.median(ratios)),
        "least": min(ratios),
        "most": max(ratios),
        "steps_per_second": float(np.median([row["side_by_side"] for row in chosen])),
    }


if __name__ == "__main__":
    main()
