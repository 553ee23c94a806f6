"""A policy of small images on the Cortex-M4F, beside a plain C loop; writes results/images.json.

    python benchmarks/images.py

MinAtar's own DQN in shape (Young and Tian, arXiv 1903.03176): 10 x 10 pixels of 4 channels, 16
kernels of 3 x 3, 128 neurons, the best of 6 actions; random weights, always the same ones, and once
more with few of them kept. The peer is the loop that ONNX-to-C generators write, without
transposing and without a test whether a pixel is inside. Frames are of zeros and ones as Breakout
has them: a paddle, a ball, its trail and some of 30 bricks. What skips zeros is measured on images
without any beside.
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

from benchmarks.peers import write_plain_c  # noqa: E402
from sparsectl.common.files import write_json  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.export.config import ExportConfig  # noqa: E402
from sparsectl.export.encodings.registry import AUTO, CONVOLVING  # noqa: E402
from sparsectl.export.pipeline import export_policy  # noqa: E402
from sparsectl.firmware_host.cores import CORES  # noqa: E402
from sparsectl.policy.activations import Float32  # noqa: E402
from sparsectl.policy.convolution import Convolution  # noqa: E402
from sparsectl.policy.graph import Layer, PolicyGraph, Signal  # noqa: E402
from sparsectl.policy.onnx_file.writer import write_onnx  # noqa: E402

CORE: Final = "cortex-m4f"
SIDE, CHANNELS, KERNELS, HIDDEN, ACTIONS = 10, 4, 16, 128, 6
FRAMES: Final = 16
CALIBRATION: Final = 2000
KEPT: Final = {"dense": 1.0, "sparse": 0.03}
"""Of the weights of the layer after the convolution and the last; the kernels keep all."""
PLAIN: Final = "plain C"
MARK: Final = 5.0
"""Times fewer cycles than the plain loop."""


@dataclass(frozen=True)
class ImagesConfig:
    """Measure and print; write as JSON."""

    out: Path = ROOT / "benchmarks" / "results" / "images.json"
    """Where the figures go."""


def network(kept: float) -> PolicyGraph:
    """The student, with a share `kept` of the weights after the convolution."""
    generator = np.random.default_rng(0)
    geometry = Convolution(CHANNELS, SIDE, SIDE, (3, 3))
    widths = (KERNELS * geometry.count, HIDDEN, ACTIONS)
    shapes = [(KERNELS, geometry.patch_size), *zip(widths[1:], widths, strict=False)]
    layers = []
    for index, (rows, columns) in enumerate(shapes):
        weight = generator.normal(0, np.sqrt(2 / columns), (rows, columns))
        if index:
            weight *= (generator.random(weight.shape) < kept) / np.sqrt(kept)
        bias = generator.normal(0, 0.1, rows)
        name = "argmax" if index == len(shapes) - 1 else "relu"
        layers.append(Layer(weight, bias, name, convolution=None if index else geometry))
    signals = tuple(Signal(f"pixel{i}", low=0.0, high=1.0) for i in range(geometry.inputs))
    return PolicyGraph(tuple(layers), signals, (Signal("choice"),))


def frames(count: int, seed: int) -> Float32:
    """[count, 400]: images of zeros and ones, pixel by pixel."""
    generator = np.random.default_rng(seed)
    found = np.zeros((count, SIDE, SIDE, CHANNELS), np.float32)
    each = np.arange(count)
    found[each, SIDE - 1, generator.integers(0, SIDE, count), 0] = 1
    for channel in (1, 2):
        place = generator.integers(1, SIDE, count), generator.integers(0, SIDE, count)
        found[each, place[0], place[1], channel] = 1
    left = generator.uniform(0, 1, (count, 1, 1))
    found[:, 1:4, :, 3] = generator.random((count, 3, SIDE)) < left
    return found.reshape(count, -1)


def main(config: ImagesConfig) -> None:
    """Measure every encoding that takes convolutions, and the plain loop."""
    rows: list[dict[str, Any]] = []
    names = [PLAIN, *sorted(CONVOLVING - {AUTO})]
    pairs = [(kind, name) for kind in KEPT for name in names]
    with tempfile.TemporaryDirectory() as scratch:
        for kind, name in tqdm(pairs, desc=CORE, unit="encoding", disable=None):
            folder = Path(scratch) / f"{kind}-{name.replace(' ', '-')}"
            rows.append({"network": kind, "name": name} | _measured(kind, name, folder))
    for row in rows:
        plain = next(r for r in rows if r["network"] == row["network"] and r["name"] == PLAIN)
        for figure in ("cycles", "cycles_worst"):
            row[f"times_fewer_{figure}"] = plain["cycles"] / row[figure]
        print({key: row[key] for key in row if key != "reason"})
    write_json(
        config.out,
        {"core": CORE, "mark": MARK, "kept": KEPT, "rows": rows, "provenance": provenance()},
    )


def _measured(kind: str, name: str, folder: Path) -> dict[str, Any]:
    graph = network(KEPT[kind])
    if name == PLAIN:
        write_plain_c(graph, folder)
    else:
        _export(graph, name, folder)
    whole = np.random.default_rng(2).uniform(0.1, 1, (2, graph.observation_size))
    x = np.concatenate([frames(FRAMES, 1), whole.astype(np.float32)])
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        found = CORES[CORE].measure(folder, Path(work), x, 1)
    assert found.cycles is not None
    typical = graph.forward(x[:FRAMES])
    return {
        "cycles": median_low(found.cycles[:FRAMES]),
        "cycles_worst": max(found.cycles),
        "flash": sum(found.flash.values()),
        "ram": found.ram_bytes + (found.stack_bytes or 0),
        "same_choice": int(np.sum(found.actions[:FRAMES] == typical)),
        "frames": FRAMES,
    }


def _export(graph: PolicyGraph, encoding: str, folder: Path) -> None:
    model, data = folder.with_suffix(".onnx"), folder.with_suffix(".npz")
    write_onnx(graph, model)
    np.savez(data, observations=frames(CALIBRATION, 2))
    export_policy(
        ExportConfig(
            model=model,
            out=folder,
            encoding=encoding,
            calibration=data,
            error=10.0,  # an index that is another one where two are nearly as good
            observations=500,
        )
    )


if __name__ == "__main__":
    main(tyro.cli(ImagesConfig))
