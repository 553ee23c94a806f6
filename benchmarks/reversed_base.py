"""Does a board stop a healthy rig, and how soon does it stop one whose encoder is reversed?

    python benchmarks/reversed_base.py [--rigs 300]

Drawn rigs and randomised units of the shipped ones are driven in the simulator for 20 s, or until
the base meets its limit; the firmware's own check (motion.c, compiled for this computer with each
rig's constants) takes the counts and the duties tick by tick. Writes results/reversed_base.json,
from which `benchmarks/faults.py` makes a table of docs/safety.md.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import tyro  # noqa: E402
from driven_rigs import (  # noqa: E402
    PUSHES,
    Driver,
    Seen,
    Swap,
    at_random,
    controller,
    student,
    teacher,
    watched,
)

from sparsectl.common.files import write_json  # noqa: E402
from sparsectl.common.progress import Progress  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.firmware_host.boards import find_board  # noqa: E402
from sparsectl.firmware_host.boards.board import FIRMWARE  # noqa: E402
from sparsectl.firmware_host.compiler import find_compiler  # noqa: E402
from sparsectl.firmware_host.config_header import constant_macros  # noqa: E402
from sparsectl.plants.drawing import draw_rig  # noqa: E402
from sparsectl.plants.rig import Rig, load_rig  # noqa: E402
from sparsectl.protocol.enums import Fault  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "results" / "reversed_base.json"
FIRST_RIG = 900_000_000
"""No rig from 500,000,000 on is drawn in training; the checks' margins were chosen on those from
600,000,000 on."""
SECONDS = 20.0


NUMBERS = (
    *("SAFETY_STUCK_TICKS", "SAFETY_STUCK_TRAVEL_COUNTS", "SAFETY_STUCK_DUTY"),
    *("SAFETY_TELLING_DUTY", "SAFETY_BASE_STOP_COUNTS", "SAFETY_POLE_STOP_COUNTS"),
    *("RIG_TELLING_JERK_COUNTS", "RIG_BASE_SENSE", "RIG_POLE_SENSE", "RIG_BASE_PUSH"),
    *("RIG_PULL_TURN", "RIG_PULL_FALL", "RIG_PULL_SPIN", "RIG_PULL_TWIST"),
    *("RIG_PULL_COUPLED", "RIG_PULL_LEVEL", "RIG_GRAVITY", "RIG_WHIRL"),
    "RIG_POLE_COUNT_TRAVEL",
)
"""In the order in which the C below takes them."""

SHIM = """
#include "motion.h"
int run(const double *n, uint64_t phase, const int32_t *base, const int32_t *pole,
        const float *duty, int last, int *tick) {
    const struct motion_limits limits = {
        .stuck_ticks = (uint16_t)n[0], .stuck_travel = (int32_t)n[1], .stuck_duty = (float)n[2],
        .telling_duty = (float)n[3], .base_stop = (int32_t)n[4], .pole_stop = (int32_t)n[5],
        .telling_jerk = (int32_t)n[6], .base_sense = (int8_t)n[7], .pole_sense = (int8_t)n[8],
        .pole_phase_per_count = phase, .base_push = (float)n[9],
        .pull = {.turn = (float)n[10], .fall = (float)n[11], .spin = (float)n[12],
                 .twist = (float)n[13], .coupled = (float)n[14], .level = (float)n[15]},
        .gravity = (float)n[16], .whirl = (float)n[17],
        .count_travel = (float)n[18],
    };
    struct motion motion;
    motion_reset(&motion);
    for (*tick = 1; *tick <= last; (*tick)++) {
        const int k = *tick;
        const int fault = motion_check(&motion, &limits, base[k] - base[k - 1],
                                       pole[k] - pole[k - 1], pole[k], 1, duty[k - 1]);
        if (fault != 0) {
            return fault;
        }
    }
    return 0;
}
"""


@dataclass(frozen=True)
class Stop:
    """How a check ended."""

    fault: Fault
    tick: int


def check_library(folder: Path) -> ctypes.CDLL:
    """The firmware's check of a rig's motion, compiled for this computer."""
    core, shim, path = FIRMWARE / "core", folder / "shim.c", folder / "check.so"
    shim.write_text(SHIM, encoding="utf-8")
    command = [
        find_compiler(find_board("host")),
        "-O1",
        "-shared",
        "-fPIC",
        "-std=c11",
        f"-I{core}",
    ]
    sources = [core / "motion.c", core / "angle.c", shim]
    subprocess.run([*command, "-o", path, *sources], check=True)
    return ctypes.CDLL(str(path))


def checked(library: ctypes.CDLL, rigs: Sequence[Rig], seen: Seen) -> list[Stop]:
    """What the check says of each rig, built as if both encoders counted right."""
    stops = []
    for k, rig in enumerate(rigs):
        macros = constant_macros(rig.firmware_constants())
        numbers = np.array([float(macros[name].rstrip("uf")) for name in NUMBERS])
        phase = ctypes.c_uint64(int(macros["RIG_POLE_PHASE_PER_COUNT"].rstrip("u"), 16))
        last, tick = int(seen.ticks[k]), ctypes.c_int(0)
        base, pole, duty = (
            np.ascontiguousarray(of[: last + 1, k]) for of in (seen.base, seen.pole, seen.duty)
        )
        pointers = [ctypes.c_void_p(each.ctypes.data) for each in (numbers, base, pole, duty)]
        fault = library.run(pointers[0], phase, *pointers[1:], last, ctypes.byref(tick))
        stops.append(Stop(Fault(fault), tick.value if fault else last))
    return stops


def healthy(rigs: Sequence[Rig], stops: Sequence[Stop], seen: Seen) -> dict[str, Any]:
    """How many rigs were stopped although nothing is wrong with them."""
    faults = Counter(stop.fault.name for stop in stops if stop.fault)
    hours = sum(rig.period_s * stop.tick for rig, stop in zip(rigs, stops, strict=True)) / 3600.0
    row = {"rigs": len(rigs), "hours": hours, "stopped": dict(sorted(faults.items()))}
    return row | ({"pushes": seen.pushes} if seen.pushes else {})


def stuck(rigs: Sequence[Rig], stops: Sequence[Stop], seen: Seen) -> dict[str, Any]:
    """How soon rigs whose pole's encoder froze, or never counted, were stopped; those that ended
    before do not count."""
    assert seen.frozen_from is not None
    froze = [(k, int(from_tick)) for k, from_tick in enumerate(seen.frozen_from)]
    ran = [(k, at) for k, at in froze if at < stops[k].tick]
    found = [(k, at) for k, at in ran if stops[k].fault]
    seconds = [(stops[k].tick - at) * rigs[k].period_s for k, at in found]
    at_limit = sum(not stops[k].fault and seen.ticks[k] < len(seen.duty) for k, _ in ran)
    return {
        "rigs": len(ran),
        "by": dict(sorted(Counter(stops[k].fault.name for k, _ in found).items())),
        "at_limit": int(at_limit),
        "seconds": {
            "median": float(np.median(seconds)),
            "of_nine_tenths": float(np.percentile(seconds, 90)),
            "most": max(seconds),
        },
    }


def reversed_(rigs: Sequence[Rig], stops: Sequence[Stop], seen: Seen) -> dict[str, Any]:
    """How soon rigs with an encoder that counts backwards were stopped, and how fast they were."""
    found = [(k, stop) for k, stop in enumerate(stops) if stop.fault]
    of = {
        "ticks": [float(stop.tick) for _, stop in found],
        "seconds": [stop.tick * rigs[k].period_s for k, stop in found],
        "speed": [abs(seen.velocity[stop.tick, k]) * rigs[k].lever_m for k, stop in found],
        "travel_share": [
            abs(seen.position[stop.tick, k]) / rigs[k].base.limit for k, stop in found
        ],
    }
    by = Counter(stop.fault.name for _, stop in found)
    row: dict[str, Any] = {"rigs": len(rigs), "by": dict(sorted(by.items()))}
    for name, values in of.items():
        row[name] = {
            "median": float(np.median(values)),
            "of_nine_tenths": float(np.percentile(values, 90)),
            "most": float(np.max(values)),
        }
    return row


@dataclass(frozen=True)
class ReversedConfig:
    """How much to run."""

    rigs: int = 300
    """Drawn rigs of each family, and randomised units of each shipped rig."""


def main(config: ReversedConfig) -> None:
    """Run, and write."""
    drawn = {
        family: [draw_rig(family, FIRST_RIG + number) for number in range(config.rigs)]
        for family in ("cartpole", "furuta")
    }
    cases: dict[str, tuple[list[Rig], Callable[[Sequence[Rig]], Driver]]] = {
        "drawn cart-poles, `any-cartpole`": (drawn["cartpole"], student),
        "drawn cart-poles, the controller that knows them": (drawn["cartpole"], controller),
        "drawn cart-poles, random duties": (drawn["cartpole"], at_random),
        "drawn rotary pendulums, the controller that knows them": (drawn["furuta"], controller),
        "drawn rotary pendulums, random duties": (drawn["furuta"], at_random),
    }
    for name in ("sensorsini_cartpole", "qube_servo2"):
        cases[f"`{name}`, its teacher"] = ([load_rig(name)] * config.rigs, teacher)
    swaps = {"base": Swap(base=-1), "motor": Swap(base=-1, pole=-1), "pole": Swap(pole=-1)}
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sparsectl-") as folder:
        library = check_library(Path(folder))
        for name, (rigs, driver) in Progress(cases.items(), desc="cases", unit="case"):
            seen = watched(rigs, driver(rigs), Swap(), SECONDS)
            rows[name] = {"right": healthy(rigs, checked(library, rigs, seen), seen)}
            seen = watched(rigs, driver(rigs), Swap(), SECONDS, freezes=True)
            rows[name]["frozen"] = stuck(rigs, checked(library, rigs, seen), seen)
            seen = watched(rigs, driver(rigs), Swap(), SECONDS, is_dead=True)
            rows[name]["dead"] = stuck(rigs, checked(library, rigs, seen), seen)
            if driver is at_random:
                continue
            rows[name]["pushed"] = []
            for push in PUSHES:
                seen = watched(rigs, driver(rigs), Swap(), SECONDS, push)
                found = healthy(rigs, checked(library, rigs, seen), seen)
                rows[name]["pushed"].append(found | asdict(push))
            for what, swap in swaps.items():
                seen = watched(rigs, driver(rigs), swap, SECONDS)
                rows[name][what] = reversed_(rigs, checked(library, rigs, seen), seen)
    write_json(OUT, {"first": FIRST_RIG, "cases": rows, "provenance": provenance()})
    print(rows)


if __name__ == "__main__":
    main(tyro.cli(ReversedConfig, description=__doc__.splitlines()[0]))
