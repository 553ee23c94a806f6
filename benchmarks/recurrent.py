"""A GRU on the Cortex-M4F, beside a plain C GRU in the same run; writes results/recurrent.json.

    python benchmarks/recurrent.py

RAPTOR's policy in shape (arXiv 2509.11481): 22 observations, 16 relu neurons, a GRU of 16 units, 4
actions; random weights, always the same ones, and once more with a fifth of them kept. The peer is
what ONNX-to-C generators write: a loop a gate over every weight, zero or not, and libm's expf and
tanhf.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Any, Final

import numpy as np
import tyro
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, its folder is on the path, not the root

from benchmarks.peers import PLAIN, write_plain_gru  # noqa: E402
from sparsectl.common.files import write_json  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.export.config import ExportConfig  # noqa: E402
from sparsectl.export.encodings.registry import ENCODINGS  # noqa: E402
from sparsectl.export.pipeline import export_policy  # noqa: E402
from sparsectl.firmware_host.cores import CORES  # noqa: E402
from sparsectl.policy.activations import Float32  # noqa: E402
from sparsectl.policy.graph import Layer, PolicyGraph, Signal  # noqa: E402
from sparsectl.policy.onnx_file.writer import write_onnx  # noqa: E402
from sparsectl.policy.passes import simplify  # noqa: E402
from sparsectl.policy.recurrent import Gru, recurrent_policy  # noqa: E402

CORE: Final = "cortex-m4f"
OBSERVATIONS, ENCODER, UNITS, ACTIONS = 22, 16, 16, 4
TICKS: Final = 32
KEPT: Final = {"dense": 1.0, "sparse": 0.2}
"""Of all weights."""
MARK: Final = 3.0
"""Times fewer cycles than the plain GRU, of the network whose weights are all kept."""


@dataclass(frozen=True)
class RecurrentConfig:
    """Measure and print; write as JSON."""

    out: Path = ROOT / "benchmarks" / "results" / "recurrent.json"
    """Where the figures go."""


def blocks(kept: float) -> tuple[Layer, Gru, Layer]:
    """The encoder, the units and the head, with a share `kept` of their weights."""
    generator = np.random.default_rng(0)

    def weights(rows: int, columns: int) -> Float32:
        found = generator.normal(0, 1 / np.sqrt(kept * columns), (rows, columns))
        return np.asarray(found * (generator.random(found.shape) < kept), np.float32)

    def biases(rows: int) -> Float32:
        return np.asarray(generator.normal(0, 0.3, rows), np.float32)

    rows = 3 * UNITS
    return (
        Layer(weights(ENCODER, OBSERVATIONS), biases(ENCODER), "relu"),
        Gru(weights(rows, ENCODER), weights(rows, UNITS), biases(rows), biases(rows)),
        Layer(weights(ACTIONS, UNITS), biases(ACTIONS)),
    )


def policy(kept: float) -> PolicyGraph:
    """The whole, observations from -1 to 1."""
    signals = [Signal(f"o{i}", low=-1.0, high=1.0) for i in range(OBSERVATIONS)]
    return recurrent_policy(blocks(kept), signals, [Signal(f"a{i}") for i in range(ACTIONS)])


def main(config: RecurrentConfig) -> None:
    """Measure every encoding, and the plain GRU."""
    rows: list[dict[str, Any]] = []
    pairs = [(kind, name) for kind in KEPT for name in (PLAIN, *ENCODINGS)]
    with tempfile.TemporaryDirectory() as scratch:
        for kind, name in tqdm(pairs, desc=CORE, unit="encoding", disable=None):
            folder = Path(scratch) / f"{kind}-{name.replace(' ', '-')}"
            rows.append({"network": kind, "name": name} | _measured(KEPT[kind], name, folder))
    for row in rows:
        plain = next(r for r in rows if r["network"] == row["network"] and r["name"] == PLAIN)
        row["times_fewer_cycles"] = plain["cycles"] / row["cycles"]
        print(row)
    write_json(
        config.out,
        {"core": CORE, "mark": MARK, "kept": KEPT, "rows": rows, "provenance": provenance()},
    )


def _measured(kept: float, name: str, folder: Path) -> dict[str, Any]:
    graph = policy(kept)
    if name == PLAIN:
        write_plain_gru(graph, blocks(kept), folder)
    else:
        model = folder.with_suffix(".onnx")
        write_onnx(simplify(graph), model)
        export_policy(ExportConfig(model, folder, encoding=name, observations=1000, vectors=TICKS))
    x = np.random.default_rng(1).uniform(-1, 1, (TICKS, OBSERVATIONS)).astype(np.float32)
    resets = np.arange(TICKS) % (TICKS if name == PLAIN else TICKS // 2) == 0
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        found = CORES[CORE].measure(folder, Path(work), x, 1)
    assert found.cycles is not None
    return {
        "cycles": median_low(found.cycles),
        "cycles_worst": max(found.cycles),
        "flash": sum(found.flash.values()),
        "ram": found.ram_bytes + (found.stack_bytes or 0),
        "greatest_error": float(np.abs(found.actions - graph.run(x, resets)).max()),
    }


if __name__ == "__main__":
    main(tyro.cli(RecurrentConfig))
