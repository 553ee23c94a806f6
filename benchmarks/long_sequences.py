"""Recurrent policies over 10,000 ticks with resets at random places: on every core and in every
encoding, each action beside the reference's, bit for bit; writes results/long_sequences.json.

    python benchmarks/long_sequences.py [--ticks 10000] [--cores atmega328p]

Two GRUs of 5 and 4 units behind 6 relu neurons, with a start that is not 0. The program on the core
calls the exported C under another prefix, and resets it wherever the observation's first number
says so. What was run at the same revision before is not run again.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tyro

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, its folder is on the path, not the root

from sparsectl.common.errors import UserError  # noqa: E402
from sparsectl.common.files import read_json, write_json  # noqa: E402
from sparsectl.common.provenance import provenance, revision  # noqa: E402
from sparsectl.export.c_style import CStyle  # noqa: E402
from sparsectl.export.c_writer import c_files  # noqa: E402
from sparsectl.export.encodings.encoding import EncodedPolicy  # noqa: E402
from sparsectl.export.encodings.registry import ENCODINGS, encode  # noqa: E402
from sparsectl.export.golden import golden_vectors  # noqa: E402
from sparsectl.firmware_host.cores import CORES  # noqa: E402
from sparsectl.policy.passes import simplify  # noqa: E402
from tests.export.test_recurrent import met_by  # noqa: E402
from tests.policy.recurrent_policies import random_recurrent, sequence  # noqa: E402

INNER: Final = "inner"
RESETS: Final = 0.03
"""Share of the ticks that begin with a reset."""

_HEADER: Final = """\
#ifndef POLICY_H
#define POLICY_H
#define POLICY_OBSERVATION_SIZE {observations}
#define POLICY_ACTION_SIZE {actions}
#define POLICY_SIGNALS {observations}
#define POLICY_FRAMES 1
#define POLICY_PERIOD_US 0
#define POLICY_KEPT_WEIGHTS 1
#define POLICY_DIGEST "{digest}"
void policy_act(const float observation[POLICY_OBSERVATION_SIZE], float action[POLICY_ACTION_SIZE]);
#endif
"""

SOURCE: Final = """\
#include "policy.h"
#include "inner.c"

void policy_act(const float *observation, float *action)
{
    if (observation[0] != 0.0f) {
        inner_reset();
    }
    inner_act(observation + 1, action);
}
"""


@dataclass(frozen=True)
class Asked:
    """What to run."""

    ticks: int = 10_000
    cores: tuple[str, ...] = tuple(CORES)
    encodings: tuple[str, ...] = tuple(ENCODINGS)
    out: Path = ROOT / "benchmarks" / "results" / "long_sequences.json"


def main(asked: Asked) -> None:
    """Run each core in each encoding, write, and fail where an action differs."""
    found: dict[str, Any] = read_json(asked.out) if asked.out.is_file() else {}
    if found.get("provenance", {}).get("revision") != revision() or found["ticks"] != asked.ticks:
        found = {"ticks": asked.ticks, "rows": []}
    for encoding in asked.encodings:
        known = {row["core"] for row in found["rows"] if row["encoding"] == encoding}
        missing = [core for core in asked.cores if core not in known]
        for row in rows(encoding, missing, asked.ticks):
            found["rows"].append(row)
            print(row, flush=True)
            write_json(asked.out, found | {"provenance": provenance()})
    ran = [row for row in found["rows"] if row["differing"] is not None]
    wrong = sum(row["differing"] for row in ran)
    print(f"{len(ran)} of {len(found['rows'])} fit their core; {wrong} actions differ")
    if wrong:
        sys.exit(1)


def rows(encoding: str, cores: Sequence[str], ticks: int) -> Iterator[dict[str, Any]]:
    graph = simplify(
        random_recurrent((5, 4), encoder=6, normalised=True, starts_at_zero=False, kept=0.7)
    )
    policy = encode(encoding, graph, met_by(graph))
    observations, resets = sequence(graph, ticks, resets=RESETS)
    resets[0] = True
    given = np.concatenate([resets[:, None], observations], axis=1).astype(np.float32)
    expected = policy.run(observations, resets)
    for core in cores:
        with tempfile.TemporaryDirectory() as folder:
            _write(policy, observations[:10], Path(folder))
            wrong = _differing(core, Path(folder), given, expected)
        row = {"core": core, "encoding": encoding, "differing": wrong}
        yield row | {"actions": int(expected.size), "resets": int(resets.sum())}


def _write(policy: EncodedPolicy, some: np.ndarray, folder: Path) -> None:
    """Write the C under its own prefix, and a policy around it that resets it."""
    golden = golden_vectors(policy, some)
    for name, text in c_files(policy, golden, "unknown", style=CStyle(INNER)).items():
        (folder / name.replace(f"{INNER}.S", "policy.S")).write_text(text)
    sizes = {
        "observations": policy.graph.observation_size + 1,
        "actions": policy.graph.action_size,
        "digest": policy.graph.digest,
    }
    (folder / "policy.h").write_text(_HEADER.format(**sizes))
    (folder / "policy_vectors.h").write_text("/* none */\n")
    (folder / "policy.c").write_text(SOURCE)


def _differing(core: str, folder: Path, given: np.ndarray, asked: np.ndarray) -> int | None:
    """Return how many actions differ in a bit; None if the policy does not fit the core."""
    build = folder / "build"
    build.mkdir()
    try:
        # Of a policy.h by hand it is said each time that it has no policy.json.
        with contextlib.redirect_stderr(io.StringIO()):
            found = CORES[core].run(folder, build, given)
    except UserError as error:
        if "does not fit" not in str(error):
            raise
        return None
    return int((found.view(np.uint32) != asked.view(np.uint32)).sum())


if __name__ == "__main__":
    main(tyro.cli(Asked))
