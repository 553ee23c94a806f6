"""Time of `sparsectl export --board`, which measures every encoding, against an earlier revision's;
writes results/export_speed.json.

    python benchmarks/export_speed.py --before 694bc593 [--networks dense] [--boards cortex-m4f]

Each pair of a network and a board is exported in turn by this tree and by the earlier one, which
git archives into a temporary folder, in a process each. The clock's seconds are what a user waits;
the processor's, of the command and of all that it starts, are what other work on the machine
stretches less. What both made is compared, file by file, but for what names the revision.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import tyro
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, its folder is on the path, not the root

from benchmarks.networks import networks  # noqa: E402
from benchmarks.recurrent import student  # noqa: E402
from sparsectl.common.files import read_json, write_json  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.policy.convolution import Convolution  # noqa: E402
from sparsectl.policy.graph import Layer, PolicyGraph, Signal  # noqa: E402
from sparsectl.policy.onnx_file.writer import write_onnx  # noqa: E402
from sparsectl.policy.passes import simplify  # noqa: E402

JSON = dict[str, Any]

WIDTHS: Final = (24, 64, 64, 4)
MARK_S: Final = 10.0
"""Seconds that the export of `dense` for a board may take on two cores."""
SEEN: Final = 20_000
"""Observations in the calibration file."""
UNEQUAL: Final = re.compile(r"^.*revision.*\n", re.MULTILINE)
"""Lines that tell the trees apart, and not what they made."""


@dataclass(frozen=True)
class ExportSpeedConfig:
    """What to measure."""

    before: str
    """The earlier revision."""
    networks: tuple[str, ...] = ("dense",)
    """Of dense, sparse, discrete, recurrent and convolution."""
    boards: tuple[str, ...] = ("cortex-m4f",)
    """Of those that `--board` takes."""
    rounds: int = 1
    """Turns of each."""
    out: Path = ROOT / "benchmarks" / "results" / "export_speed.json"
    """The results' file; rows of other networks and boards stay."""


def dense() -> PolicyGraph:
    """24-64-64-4, every weight kept."""
    generator = np.random.default_rng(0)
    layers = []
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:], strict=False):
        weight = generator.normal(0, np.sqrt(2 / inputs), (outputs, inputs))
        activation = "tanh" if outputs == WIDTHS[-1] else "relu"
        layers.append(Layer(weight, 0.1 * generator.normal(size=outputs), activation))
    observation = tuple(Signal(f"o{i}") for i in range(WIDTHS[0]))
    action = tuple(Signal(f"a{i}", low=-1.0, high=1.0) for i in range(WIDTHS[-1]))
    return PolicyGraph(tuple(layers), observation, action)


def convolution() -> PolicyGraph:
    """3 channels of 6 x 5 through one convolution and a layer of 7 neurons."""
    generator = np.random.default_rng(0)
    geometry = Convolution(3, 6, 5, (3, 2), strides=(1, 2))
    kernel = generator.normal(size=(4, geometry.patch_size)) / np.sqrt(geometry.patch_size)
    first = Layer(kernel, 0.3 * generator.normal(size=4), "relu", convolution=geometry)
    hidden = Layer(0.3 * generator.normal(size=(7, first.results)), np.zeros(7), "relu")
    last = Layer(0.4 * generator.normal(size=(2, 7)), np.zeros(2), "tanh")
    observation = tuple(Signal(f"o{i}") for i in range(first.inputs))
    action = tuple(Signal(f"a{i}", low=-1.0, high=1.0) for i in range(2))
    return PolicyGraph((first, hidden, last), observation, action)


def sparse() -> PolicyGraph:
    """4-128-128-1 with 1,100 weights kept at random places."""
    return networks()["c"]


def recurrent() -> PolicyGraph:
    """The shape of the student for any cart-pole: 5 observations, a GRU of 20 units."""
    return simplify(student())


NETWORKS: Final[dict[str, Callable[[], PolicyGraph]]] = {
    "dense": dense,
    "sparse": sparse,
    "recurrent": recurrent,
    "convolution": convolution,
}
TEACHER: Final = {"discrete": ROOT / "training" / "teachers" / "cart_pole.onnx"}


def words_for(name: str, folder: Path) -> list[str]:
    """Write the network and its calibration file once; the arguments that name both."""
    model, seen = TEACHER.get(name, folder / f"{name}.onnx"), folder / f"{name}.npz"
    if name in TEACHER:
        return [str(model)]
    if not model.exists():
        graph = NETWORKS[name]()
        write_onnx(graph, model)
        generator = np.random.default_rng(5)
        rows = generator.normal(0, 1, (SEEN, graph.observation_size))
        np.savez(seen, observations=np.clip(rows, -1, 1).astype(np.float32))
    return [str(model), "--calibration", str(seen)]


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """The tree of an earlier revision, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="sparsectl-before-") as name:
        archive = subprocess.Popen(
            ["git", "-C", str(ROOT), "archive", revision], stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", name], stdin=archive.stdout, check=True)
        if archive.wait() != 0:
            sys.exit(f"git has no revision {revision}; name one of `git log`")
        yield Path(name)


def timed(tree: Path, words: list[str], board: str, out: Path) -> JSON:
    """Export in a process; seconds of the clock and of the processor, and the exit code."""
    command = [sys.executable, "-m", "sparsectl", "export", *words, "--board", board, "--json"]
    # Modules compiled once stay so, as they do where a package is installed.
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "OMP_NUM_THREADS": "1",
        "PYTHONPYCACHEPREFIX": str(out.parent / "bytecode"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    answer = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, cwd=tree, env=environment
    )
    clock, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # A refusal is a result too: nothing may fit a small board.
    said = answer.stderr.strip().splitlines()[-1] if answer.returncode else ""
    return {"clock_s": clock, "processor_s": processor, "refused": said}


def made(out: Path) -> JSON:
    """What an export left, without what tells the trees apart."""
    found: JSON = {}
    for path in sorted(out.glob("*")):
        if path.suffix in (".c", ".h", ".S", ".svg"):
            found[path.name] = UNEQUAL.sub("", path.read_text(encoding="utf-8"))
        elif path.suffix == ".json":
            found[path.name] = json.dumps(without_origin(read_json(path)))
    return found


def without_origin(value: Any) -> Any:
    """JSON without provenance and without the digests of files that hold it."""
    dropped = ("provenance", "revision", "files", "sha256", "seconds")
    if isinstance(value, dict):
        return {k: without_origin(v) for k, v in value.items() if k not in dropped}
    return [without_origin(each) for each in value] if isinstance(value, list) else value


def row_of(config: ExportSpeedConfig, name: str, board: str, trees: JSON, scratch: Path) -> JSON:
    """Both trees' times, and what differs between what they made."""
    words = words_for(name, scratch)
    times: dict[str, list[JSON]] = {tree: [] for tree in trees}
    for _ in range(config.rounds):
        for tree, folder in trees.items():
            times[tree].append(timed(folder, words, board, scratch / f"{tree}-{name}-{board}"))
    left = {tree: made(scratch / f"{tree}-{name}-{board}") for tree in trees}
    names = {file for each in left.values() for file in each}
    differ = sorted(f for f in names if left["before"].get(f) != left["after"].get(f))
    refusals = {turn["refused"] for turns in times.values() for turn in turns}
    row: JSON = {"differs": differ, "refused": sorted(refusals - {""}), "files": len(names)}
    for tree, turns in times.items():
        row[tree] = {key: median(turn[key] for turn in turns) for key in ("clock_s", "processor_s")}
    return row | {"rounds": config.rounds, "load": os.getloadavg()[0]}


def main(config: ExportSpeedConfig) -> None:
    """Measure pair by pair, and write the results' file after each."""
    results: JSON = read_json(config.out) if config.out.exists() else {"rows": {}}
    pairs = [(name, board) for name in config.networks for board in config.boards]
    with (
        checked_out(config.before) as earlier,
        tempfile.TemporaryDirectory(prefix="sparsectl-export-speed-") as folder,
    ):
        trees = {"before": earlier, "after": ROOT}
        for name, board in tqdm(pairs, desc="exports", unit="pair", disable=None):
            row = row_of(config, name, board, trees, Path(folder))
            origin = provenance()
            revisions = {"revision": origin["revision"], "before_revision": config.before}
            results["rows"][f"{name} on {board}"] = row | revisions
            results["provenance"] = origin
            write_json(config.out, results)
            print(name, board, row, flush=True)


if __name__ == "__main__":
    main(tyro.cli(ExportSpeedConfig))
