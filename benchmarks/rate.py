"""How fast a trial can go: 200 Hz for ten minutes in real time, and lockstep against real time.

The first asks how many control ticks the host port skips at a period of 5 ms, and says beside it
what the machine itself cannot keep: the lateness of a process that only sleeps, measured in the
same trial. The second asks how many times faster than real time 100 Hz processor-in-the-loop is,
start-up left out: two trials of different length, and the difference of their times.

    python benchmarks/rate.py realtime [--minutes 10]
    python benchmarks/rate.py lockstep [--seconds 120]
"""

from __future__ import annotations

import os
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.hil.config import Mode, TrialConfig
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants import rig as rigs
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.onnx_file.writer import write_onnx
from sparsectl.policy.passes import fold_normaliser

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
RUNS = ROOT / "runs" / "rate"
RIG = Path(rigs.__file__).parent / "rigs" / "sensorsini_cartpole.toml"


@dataclass(frozen=True)
class Realtime:
    """Skipped ticks at a high rate, by the machine's own clock."""

    hz: float = 200.0
    """Control ticks a second."""
    minutes: float = 10.0
    """How long the policy drives the motor."""
    mode: Mode = "device"
    """Where the policy runs."""
    fifo: bool = False
    """Ask for SCHED_FIFO."""


@dataclass(frozen=True)
class Lockstep:
    """How many times faster than real time lockstep is."""

    hz: float = 100.0
    """Control ticks a second of the board's time."""
    seconds: float = 120.0
    """Board's time of the longer of the two trials."""
    mode: Mode = "pil"
    """Where policy and plant run."""
    repeats: int = 7
    """The middle one counts: a machine's speed is not the same from minute to minute."""


def rig_at(hz: float, folder: Path) -> Path:
    """The shipped cart-pole with another control period."""
    period = f"period_s = {1 / hz:g}"
    text, found = re.subn(r"(?m)^period_s = [0-9.]+", period, RIG.read_text())
    assert found == 1
    path = folder / f"cartpole_{hz:g}hz.toml"
    path.write_text(text)
    return path


def policy_for(rig_file: Path, folder: Path) -> Path:
    """An exported 25-64-64-1 whose duty is so small that the pole hangs: it runs, nothing ends."""
    rig, random = rigs.load_rig(str(rig_file)), np.random.default_rng(0)
    signals = rig.signals()
    sizes = (len(signals["observation"]) * rig.frames, 64, 64, 1)
    layers = tuple(
        Layer(
            (
                random.normal(0, 0.05, (rows, columns)) * (random.random((rows, columns)) < 0.2)
            ).astype(np.float32),
            np.zeros(rows, np.float32),
            "tanh" if rows == 1 else "relu",
        )
        for columns, rows in zip(sizes, sizes[1:], strict=False)
    )
    graph = PolicyGraph(
        layers=layers,
        observation=tuple(Signal(**signal) for signal in signals["observation"]),
        action=tuple(Signal(**signal) for signal in signals["action"]),
        frames=rig.frames,
        period_s=rig.period_s,
        rig=None,
    )
    write_onnx(fold_normaliser(graph), folder / "source.onnx")
    export_policy(ExportConfig(model=folder / "source.onnx", out=folder / "policy"))
    return folder / "policy"


def trial(hz: float, seconds: float, **changes: Any) -> dict[str, Any]:
    """One trial in which the policy drives for `seconds`."""
    RUNS.mkdir(parents=True, exist_ok=True)
    rig_file = rig_at(hz, RUNS)
    return run_trial(
        TrialConfig(
            policy=policy_for(rig_file, RUNS),
            rig=str(rig_file),
            swing_up_limit_s=seconds,
            out=RUNS / "trial",
            report=False,
            **changes,
        )
    )


def realtime(config: Realtime) -> dict[str, Any]:
    """Run; the figures of the trial that speak of time."""
    # on a machine that stalls for longer than three ticks the board would stop the count
    patience = round(0.2 * config.hz)
    result = trial(
        config.hz,
        config.minutes * 60,
        mode=config.mode,
        fifo=config.fifo,
        link_timeout_ticks=patience,
    )
    keys = ("ticks", "skipped", "late_ticks", "lost_frames", "corrupt_frames", "period_us")
    keys += ("jitter_us", "round_trip_us", "actuation_us", "noise_floor_us", "priority", "mode")
    keys += ("ended",)
    asked = {"hz": config.hz, "minutes": config.minutes, "load_average": os.getloadavg()}
    return asked | {key: result[key] for key in keys}


def lockstep(config: Lockstep) -> dict[str, Any]:
    """Run twice, built before; the ratio."""
    trial(config.hz, 1.0, mode=config.mode, clock="lockstep")  # builds the firmware
    ratios = np.array([_times_real_time(config) for _ in range(config.repeats)])
    (low, _), (high, _) = ratios.min(0), ratios.max(0)
    ratio, cpu_ratio = np.median(ratios, axis=0)
    return {
        "hz": config.hz,
        "mode": config.mode,
        "repeats": config.repeats,
        "times_real_time": round(float(ratio), 1),
        "times_real_time_range": [round(float(low), 1), round(float(high), 1)],
        "times_real_time_by_cpu": round(float(cpu_ratio), 1),
        "cpu_us_a_tick": round(float(1e6 / config.hz / cpu_ratio), 1),
        "load_average": os.getloadavg()[0],
    }


def _times_real_time(config: Lockstep) -> tuple[float, float]:
    """Of two trials' difference: by the clock, and by the processor time of all its processes."""
    took = []
    lengths_s = (config.seconds / 6, config.seconds)
    for seconds in lengths_s:
        start = np.array([time.monotonic(), cpu_s()])
        trial(config.hz, seconds, mode=config.mode, clock="lockstep")
        took.append(np.array([time.monotonic(), cpu_s()]) - start)
    by_clock, by_cpu = (lengths_s[1] - lengths_s[0]) / (took[1] - took[0])
    return by_clock, by_cpu


def cpu_s() -> float:
    """Processor time of this process and its children that have ended: free of other people's."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def main(config: Realtime | Lockstep) -> None:
    """Run one of the two and write results/rate_*.json."""
    kind = "realtime" if isinstance(config, Realtime) else "lockstep"
    result = realtime(config) if isinstance(config, Realtime) else lockstep(config)
    for name, value in result.items():
        print(f"{name}: {value}")
    write_json(RESULTS / f"rate_{kind}.json", {"result": result, "provenance": provenance()})


if __name__ == "__main__":
    main(tyro.cli(Realtime | Lockstep, description=__doc__))
