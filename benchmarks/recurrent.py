"""GRUs on the Cortex-M4F and the ATmega328P, beside a plain C GRU in the same run; writes
results/recurrent.json.

    python benchmarks/recurrent.py

RAPTOR's policy in shape (arXiv 2509.11481): 22 observations, 16 relu neurons, a GRU of 16 units, 4
actions; random weights, always the same ones, and once more with a fifth of them kept. On the
ATmega328P also a student of 5 observations, a GRU of 20 units and one action through tanh, and the
policies for any pendulum as they come with sparsectl, on the rigs that come with it too. The peer
is what ONNX-to-C generators write: a loop a gate over every weight, zero or not, and libm's expf
and tanhf.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import median_low
from typing import Any, Final

import numpy as np
import tyro
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, its folder is on the path, not the root

from benchmarks.driven_students import Met, met_by, together  # noqa: E402
from benchmarks.peers import PLAIN, write_plain_gru  # noqa: E402
from sparsectl.common.errors import UserError  # noqa: E402
from sparsectl.common.files import write_json  # noqa: E402
from sparsectl.common.provenance import provenance  # noqa: E402
from sparsectl.export.config import ExportConfig  # noqa: E402
from sparsectl.export.encodings.registry import ENCODINGS  # noqa: E402
from sparsectl.export.pipeline import export_policy  # noqa: E402
from sparsectl.firmware_host.cores import CORES  # noqa: E402
from sparsectl.plants.rig import load_rig  # noqa: E402
from sparsectl.policy.activations import Float32  # noqa: E402
from sparsectl.policy.graph import Layer, PolicyGraph, Signal  # noqa: E402
from sparsectl.policy.onnx_file.writer import write_onnx  # noqa: E402
from sparsectl.policy.passes import simplify  # noqa: E402
from sparsectl.policy.recurrent import Gru, recurrent_policy  # noqa: E402
from sparsectl.training.any_rig.deploy import policy_for, read_any, student_path  # noqa: E402

OBSERVATIONS, ENCODER, UNITS, ACTIONS = 22, 16, 16, 4
STUDENT_OBSERVATIONS, STUDENT_UNITS = 5, 20
TICKS: Final = 32
KEPT: Final = {"dense": 1.0, "sparse": 0.2}
"""Of all weights."""
STUDENT: Final = "student"
SHIPPED: Final = {
    "any-cartpole": ("cartpole", "sensorsini_cartpole"),
    "any-furuta": ("furuta", "qube_servo2"),
}
"""The policies that come with sparsectl: family and rig."""
DRIVEN, DRIVEN_TICKS = 24, 600
"""Units of that rig on which the policy's runs calibrate the encodings, and their length."""
ANY_ERROR: Final = 0.5
"""Of the action's range: an error in a tick turns the swing-up that follows; encoded_any_rig.py
measures what it costs."""
MARK: Final = 3.0
"""Times fewer cycles than the plain GRU, of the network whose weights are all kept."""
SHARE_MARK: Final = 0.1
"""Of a tick on the ATmega328P, that the student takes at most."""
TICK_CYCLES: Final = 320_000
"""20 ms at 16 MHz."""
ON_8_BITS: Final = (
    "csr",
    "packed-int16",
    "packed-int8",
    "stream-int16",
    "straight-int8",
    "dense-int16",
    "dense-int8",
)
MEASURED: Final = {
    ("cortex-m4f", "dense"): (PLAIN, *ENCODINGS),
    ("cortex-m4f", "sparse"): (PLAIN, *ENCODINGS),
    ("cortex-m4f", STUDENT): ("dense-int16", "dense-int8"),
    **{("cortex-m4f", name): ("dense-int16", "dense-int8") for name in SHIPPED},
    ("atmega328p", "dense"): (PLAIN, *ON_8_BITS),
    ("atmega328p", "sparse"): (PLAIN, *ON_8_BITS),
    ("atmega328p", STUDENT): ON_8_BITS,
    **{("atmega328p", name): ("dense-int16", "dense-int8") for name in SHIPPED},
}
"""By core and network; PLAIN is the peer."""


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


def policy(network: str) -> PolicyGraph:
    """The whole, observations from -1 to 1."""
    if network == STUDENT:
        return student()
    if network in SHIPPED:
        family, rig = SHIPPED[network]
        return policy_for(read_any(student_path(family)), load_rig(rig))
    signals = [Signal(f"o{i}", low=-1.0, high=1.0) for i in range(OBSERVATIONS)]
    actions = [Signal(f"a{i}") for i in range(ACTIONS)]
    return recurrent_policy(blocks(KEPT[network]), signals, actions)


def student() -> PolicyGraph:
    """Of the shape of `training.any_rig`'s: the units read the observation themselves."""
    generator = np.random.default_rng(0)
    rows, units = 3 * STUDENT_UNITS, STUDENT_UNITS

    def weights(rows: int, columns: int) -> Float32:
        return np.asarray(generator.normal(0, 1 / np.sqrt(columns), (rows, columns)), np.float32)

    biases = [np.asarray(generator.normal(0, 0.3, rows), np.float32) for _ in range(2)]
    cell = Gru(weights(rows, STUDENT_OBSERVATIONS), weights(rows, units), *biases)
    duty = Layer(weights(1, units), np.zeros(1, np.float32), "tanh")
    signals = [Signal(f"o{i}", low=-1.0, high=1.0) for i in range(STUDENT_OBSERVATIONS)]
    return recurrent_policy([cell, duty], signals, [Signal("duty", low=-1.0, high=1.0)])


def main(config: RecurrentConfig) -> None:
    """Measure every core, network and encoding, and the plain GRU."""
    rows: list[dict[str, Any]] = []
    tasks = [(*pair, name) for pair, names in MEASURED.items() for name in names]
    with tempfile.TemporaryDirectory() as scratch:
        for core, network, name in tqdm(tasks, unit="policy", disable=None):
            folder = Path(scratch) / f"{network}-{name.replace(' ', '-')}"
            found = _measured(core, network, name, folder)
            rows.append({"core": core, "network": network, "name": name} | found)
    for row in rows:
        plain = [r for r in rows if _is_peer_of(r, row)]
        if plain and plain[0]["cycles"] and row["cycles"]:
            row["times_fewer_cycles"] = plain[0]["cycles"] / row["cycles"]
        print(row)
    said = {"mark": MARK, "share_mark": SHARE_MARK, "tick_cycles": TICK_CYCLES, "kept": KEPT}
    write_json(config.out, said | {"rows": rows, "provenance": provenance()})


def _is_peer_of(plain: dict[str, Any], row: dict[str, Any]) -> bool:
    where = (row["core"], row["network"])
    return plain["name"] == PLAIN and (plain["core"], plain["network"]) == where


def _measured(core: str, network: str, name: str, folder: Path) -> dict[str, Any]:
    """Of one; cycles are None where it does not fit the core."""
    graph = policy(network)
    if folder.is_dir():
        pass  # the same C as on another core
    elif name == PLAIN:
        write_plain_gru(graph, blocks(KEPT[network]), folder)
    else:
        model = folder.with_suffix(".onnx")
        write_onnx(simplify(graph), model)
        config = ExportConfig(model, folder, encoding=name, observations=1000, vectors=TICKS)
        if network in SHIPPED:
            config = replace(config, calibration=_driven(network, folder), error=ANY_ERROR)
        export_policy(config)
    size = (TICKS, graph.observation_size)
    x = np.random.default_rng(1).uniform(-1, 1, size).astype(np.float32)
    if network in SHIPPED:
        x = met(network).observations[:TICKS]
    resets = np.arange(TICKS) % (TICKS if name == PLAIN else TICKS // 2) == 0
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        try:
            found = CORES[core].measure(folder, Path(work), x, 1)
        except UserError as error:
            if "does not fit" not in str(error):
                raise
            return {"cycles": None}
    assert found.cycles is not None
    return {
        "cycles": median_low(found.cycles),
        "cycles_worst": max(found.cycles),
        "cycles_kind": found.cycles_kind,
        "flash": sum(found.flash.values()),
        "weights": graph.kept_weights,
        "ram": found.ram_bytes + (found.stack_bytes or 0),
        "greatest_error": float(
            np.abs(found.actions - graph.run(x, resets)[: len(found.actions)]).max()
        ),
    }


@cache
def met(network: str) -> Met:
    """What a policy for any pendulum meets on units of the shipped rig."""
    family, rig = SHIPPED[network]
    units = [load_rig(rig)] * DRIVEN
    return together(met_by(read_any(student_path(family)), units, range(DRIVEN), DRIVEN_TICKS))


def _driven(network: str, folder: Path) -> Path:
    path = folder.with_suffix(".npz")
    given = met(network)
    np.savez(path, observations=given.observations, terminations=given.terminations)
    return path


if __name__ == "__main__":
    main(tyro.cli(RecurrentConfig))
