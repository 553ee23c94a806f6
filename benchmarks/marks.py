"""What the exported code costs on small cores, beside the marks that were set and its peers.

    python benchmarks/marks.py [--only c] [--out benchmarks/results/marks.json]

Measures every encoding that serves the core on the networks of `benchmarks.networks`, a plain C
loop and emlearn with the same compiler and flags, and prints a row a mark: the fastest encoding
that keeps to the mark's other limits. Cycles are of a typical call, the median of 32 standard
normal observations, worst over wider ones in brackets; flash and RAM (stack included) are over
an empty firmware, KB of 1000 bytes; the error is the greatest of those 32, against the network in
float64, and in brackets that of 10,000 others.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median_low
from typing import Any, Final

import numpy as np
import tyro
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, its folder is on the path, not the root

from benchmarks.networks import network_observations, networks  # noqa: E402
from benchmarks.peers import PEERS  # noqa: E402
from sparsectl.command_line.terminal import print_table  # noqa: E402
from sparsectl.common.errors import UserError  # noqa: E402
from sparsectl.common.files import read_json, write_json  # noqa: E402
from sparsectl.common.provenance import provenance, revision  # noqa: E402
from sparsectl.export.config import ExportConfig  # noqa: E402
from sparsectl.export.encodings.registry import ENCODINGS  # noqa: E402
from sparsectl.export.host_c import run_c  # noqa: E402
from sparsectl.export.pipeline import export_policy  # noqa: E402
from sparsectl.firmware_host.cores import CORES  # noqa: E402
from sparsectl.firmware_host.cores.measured_inputs import measured_inputs  # noqa: E402
from sparsectl.policy.graph import PolicyGraph  # noqa: E402
from sparsectl.policy.onnx_file.writer import write_onnx  # noqa: E402

TYPICAL: Final = 32
WIDE: Final = 10_000
"""Observations of the error in brackets."""
CALIBRATION: Final = 4096
LOOSE: Final = 10.0
"""Greatest error that export is to allow: a mark judges it here."""


@dataclass(frozen=True)
class Mark:
    """Something to reach on a core with a network; None: no limit."""

    name: str
    core: str
    network: str
    cycles: int | None = None
    flash: int | None = None
    ram: int | None = None
    error: float | None = None
    kinds: tuple[str, ...] = ("float32", "float16", "int16", "int8")
    """Forms of weights that may serve."""
    times_faster_than_teacher: float | None = None
    """Against the plain C loop of the network `teacher`."""


FLOAT: Final = ("float32",)
MARKS: Final = (
    Mark("M4F, c float32", "cortex-m4f", "c", 3_300, 14_000, 800, 2e-7, FLOAT),
    Mark("M4F, c small", "cortex-m4f", "c", 9_000, 3_000, error=1e-2),
    Mark("M4F, d float32", "cortex-m4f", "d", 6_600, kinds=FLOAT),
    Mark("M4F, a dense float32", "cortex-m4f", "a", 120_000, kinds=FLOAT),
    Mark("M4F, b dense float32", "cortex-m4f", "b", 35_000, kinds=FLOAT),
    Mark("M3, c int16", "cortex-m3", "c", 5_000, kinds=("int16",)),
    Mark("M0, c int16", "cortex-m0", "c", 11_000, kinds=("int16",)),
    Mark("328P, c fast", "atmega328p", "c", 14_000),
    Mark("328P, c in 4.7 KB", "atmega328p", "c", 35_000, 4_700, error=1e-3),
    Mark("328P, d in 7.7 KB", "atmega328p", "d", 72_000, 7_700, error=1e-3),
    Mark("M4F, p, 100x under its teacher", "cortex-m4f", "p", times_faster_than_teacher=100.0),
    Mark("M4F, p in 4.43 KB", "cortex-m4f", "p", flash=4_430, error=5e-3),
)


@dataclass(frozen=True)
class MarksConfig:
    """Measure and print the table; write it as JSON."""

    only: str | None = None
    """Only the marks whose name contains this; the file keeps the others as they were."""
    out: Path = ROOT / "benchmarks" / "results" / "marks.json"
    """Where the figures go."""


@dataclass(frozen=True)
class Figures:
    """One encoding or peer of a network on a core; reason: why it could not be measured."""

    core: str
    network: str
    name: str
    kind: str = ""
    cycles: int = 0
    cycles_worst: int = 0
    instructions: int = 0
    flash: int = 0
    ram: int = 0
    stack: int = 0
    error: float = 0.0
    activation_share: float | None = None
    constant_time: bool = False
    cycles_kind: str | None = None
    reason: str = ""

    def keeps_to(self, mark: Mark) -> bool:
        """All limits of the mark but that on cycles, which is what is measured."""
        limits = ((mark.flash, self.flash), (mark.ram, self.memory), (mark.error, self.error))
        within = all(limit is None or value <= limit for limit, value in limits)
        return not self.reason and within and self.kind in mark.kinds

    @property
    def memory(self) -> int:
        """Static RAM and stack."""
        return self.ram + self.stack


class Bench:
    """Measures each encoding and peer of each network on each core once."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._networks = networks()
        self._known: dict[tuple[str, str], list[Figures]] = {}
        self._peers: dict[tuple[str, str, str], Figures] = {}

    def encodings(self, core: str, network: str) -> list[Figures]:
        """Every encoding that serves the core, of the kinds that some mark there takes."""
        key = (core, network)
        if key not in self._known:
            names = _serving(core, network)
            bar = tqdm(names, desc=f"{network} on {core}", unit="encoding", leave=False)
            self._known[key] = [self._encoding(core, network, name) for name in bar]
        return self._known[key]

    def peer(self, core: str, network: str, name: str) -> Figures:
        """A peer of `benchmarks.peers`."""
        key = (core, network, name)
        if key not in self._peers:
            folder = self._scratch / network / name.replace(" ", "-")
            if not folder.exists():
                PEERS[name](self._networks[network], folder)
            self._peers[key] = self._measured(core, network, name, "float32", folder)
        return self._peers[key]

    def wide_error(self, network: str, encoding: str) -> float:
        """Over `WIDE` observations, by the C on this machine, which gives the core's bits."""
        graph = self._networks[network]
        observations = network_observations(graph, WIDE, seed=3)
        with tempfile.TemporaryDirectory(dir=self._scratch) as work:
            folder = self._exported(network, encoding)
            actions = run_c(folder, observations, graph.action_size, Path(work))
        return _error(graph, observations, actions)

    def float32_floor(self, network: str) -> float:
        """The same of every neuron's sum exact and rounded to float32 once: what no order of
        summation in float32 can beat by much."""
        graph = self._networks[network]
        observations = network_observations(graph, WIDE, seed=3)
        x = observations.astype(np.float64).T
        for layer in graph.layers:
            sums = layer.weight.astype(np.float64) @ x + layer.bias[:, None]
            x = layer.activate_exact(sums.astype(np.float32).astype(np.float64))
        return _error(graph, observations, x.T)

    def all(self) -> Iterator[Figures]:
        """All that was measured."""
        for group in self._known.values():
            yield from group
        yield from self._peers.values()

    def _encoding(self, core: str, network: str, name: str) -> Figures:
        try:
            folder = self._exported(network, name)
        except UserError as error:
            return Figures(core, network, name, reason=self._told(error))
        return self._measured(core, network, name, ENCODINGS[name].kind, folder)

    def _exported(self, network: str, name: str) -> Path:
        """The policy's folder; fixed-point scales are calibrated on what the network is for."""
        folder = self._scratch / network / name
        if not folder.exists():
            graph = self._networks[network]
            model, data = self._scratch / f"{network}.onnx", self._scratch / f"{network}.npz"
            write_onnx(graph, model)
            np.savez(data, observations=network_observations(graph, CALIBRATION, seed=2))
            export_policy(
                ExportConfig(
                    model=model,
                    out=folder,
                    encoding=name,
                    calibration=data,
                    error=LOOSE,
                    observations=2000,
                )
            )
        return folder

    def _measured(self, core: str, network: str, name: str, kind: str, folder: Path) -> Figures:
        graph = self._networks[network]
        observations = network_observations(graph, TYPICAL)
        with tempfile.TemporaryDirectory(dir=self._scratch) as work:
            try:
                found = CORES[core].measure(folder, Path(work), measured_inputs(observations), 1)
            except UserError as error:
                return Figures(core, network, name, kind, reason=self._told(error))
        assert found.cycles is not None and found.instructions is not None
        return Figures(
            core,
            network,
            name,
            kind,
            median_low(found.cycles[:TYPICAL]),
            max(found.cycles),
            median_low(found.instructions[:TYPICAL]),
            sum(found.flash.values()),
            found.ram_bytes,
            found.stack_bytes or 0,
            _error(graph, observations, found.actions),
            found.activation_share,
            min(found.cycles) == max(found.cycles),
            found.cycles_kind,
        )

    def _told(self, error: UserError) -> str:
        """The reason, without this machine's folders."""
        return str(error).replace(f"{self._scratch}/", "")


def _serving(core: str, network: str) -> list[str]:
    there = [mark for mark in MARKS if (mark.core, mark.network) == (core, network)]
    kinds = {kind for mark in there for kind in mark.kinds}
    return [
        name
        for name, encoding in ENCODINGS.items()
        if encoding.kind in kinds and (encoding.cores is None or core in encoding.cores)
    ]


def _error(graph: PolicyGraph, observations: np.ndarray, actions: np.ndarray) -> float:
    count = min(len(observations), len(actions))
    exact = graph.forward_exact(observations[:count])
    return float(np.abs(actions[:count] - exact).max())


def judge(mark: Mark, bench: Bench) -> dict[str, Any]:
    """The mark, the best encoding that keeps to it, whether it is met, and the peers."""
    measured = bench.encodings(mark.core, mark.network)
    fitting = [figures for figures in measured if figures.keeps_to(mark)]
    best = min(fitting, key=lambda figures: figures.cycles, default=None)
    peers = {name: bench.peer(mark.core, mark.network, name) for name in PEERS}
    ratio = None
    if best and mark.times_faster_than_teacher:
        ratio = bench.peer(mark.core, "teacher", "plain C").cycles / best.cycles
    met = best is not None and (mark.cycles is None or best.cycles <= mark.cycles)
    if mark.times_faster_than_teacher:
        met = ratio is not None and ratio >= mark.times_faster_than_teacher
    return {
        "mark": asdict(mark),
        "revision": revision(),
        "best": asdict(best) if best else None,
        "wide_error": bench.wide_error(mark.network, best.name) if best else None,
        "float32_floor": bench.float32_floor(mark.network),
        "times_faster_than_teacher": ratio,
        "met": met,
        "peers": {name: asdict(figures) for name, figures in peers.items()},
    }


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """A row a mark."""
    head = ["target", "mark", "met", "encoding", "cycles (worst)", "flash", "RAM", "error"]
    return [[*head, *PEERS], *(_row(row) for row in rows)]


def _row(row: dict[str, Any]) -> list[str]:
    best, mark = row["best"], row["mark"]
    cells = ["-"] * 5
    if best:
        cells = [
            best["name"],
            f"{best['cycles']:,} ({best['cycles_worst']:,})",
            f"{best['flash']:,}",
            f"{best['ram'] + best['stack']:,}",
            f"{best['error']:.1e} ({row['wide_error']:.1e})",
        ]
    if row["times_faster_than_teacher"]:
        cells[1] += f", {row['times_faster_than_teacher']:.0f}x"
    peers = [_peer(figures) for figures in row["peers"].values()]
    return [mark["name"], _limits(mark), "yes" if row["met"] else "no", *cells, *peers]


def _limits(mark: dict[str, Any]) -> str:
    shown = {
        "cycles": "{:,} cycles",
        "flash": "{:,} B flash",
        "ram": "{:,} B RAM",
        "error": "error {:.0e}",
        "times_faster_than_teacher": "{:.0f}x",
    }
    return ", ".join(f.format(mark[n]) for n, f in shown.items() if mark[n] is not None)


def _peer(figures: dict[str, Any]) -> str:
    return "does not fit" if figures["reason"] else f"{figures['cycles']:,}, {figures['flash']:,} B"


def main(config: MarksConfig) -> None:
    """Measure, print, write."""
    if find_spec("emlearn") is None:
        raise SystemExit("emlearn is measured too and is not installed; pip install -e '.[bench]'")
    marks = [mark for mark in MARKS if config.only is None or config.only in mark.name]
    with tempfile.TemporaryDirectory(prefix="sparsectl-marks-") as scratch:
        bench = Bench(Path(scratch))
        rows = [judge(mark, bench) for mark in tqdm(marks, desc="marks", unit="mark")]
        figures = [asdict(each) for each in bench.all()]
    print_table(table(rows))
    _write(config.out, rows, figures)


def _write(out: Path, rows: list[dict[str, Any]], figures: list[dict[str, Any]]) -> None:
    """Put new rows and figures in the place of those there; each has its revision."""
    old = read_json(out) if out.is_file() else {"marks": [], "figures": []}
    marks = {row["mark"]["name"]: row for row in (*old["marks"], *rows)}
    order = [mark.name for mark in MARKS]
    known = {(f["core"], f["network"], f["name"]): f for f in (*old["figures"], *figures)}
    write_json(
        out,
        {
            "provenance": provenance(),
            "marks": [marks[name] for name in order if name in marks],
            "figures": list(known.values()),
        },
    )


if __name__ == "__main__":
    main(tyro.cli(MarksConfig))
