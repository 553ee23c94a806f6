"""Memory that one export takes: bounded for whatever is accepted, and looked at before it is
taken."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from sparsectl.export.calibration import COUNT, other_observations, read_observations
from tests.tools import need

MOST_BYTES = 500 * 2**20

MEASURED = """
import resource, sys
from sparsectl import cli
code = cli.run(sys.argv[1:])
# Its own since it was loaded: what getrusage has for it begins with the process it was forked from.
with open("/proc/self/status") as status:
    own = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print("peak", max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024)
sys.exit(code)
"""


def peak(*words: str) -> tuple[int, int, str]:
    """Exit code, the greatest memory of the command or a compiler that it ran, and what it said."""
    result = subprocess.run(
        [sys.executable, "-c", MEASURED, *words],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    last = result.stdout.splitlines()[-1]
    return result.returncode, int(last.removeprefix("peak ")), result.stderr.strip()


def mlp(path: Path, *widths: int) -> Path:
    random = np.random.default_rng(0)
    nodes, constants, value = [], [], "observation"
    for index, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
        weight = (random.normal(size=(inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)
        constants.append(numpy_helper.from_array(weight, f"w{index}"))
        last = index == len(widths) - 2
        product = "action" if last else f"h{index}"
        nodes.append(helper.make_node("MatMul", [value, f"w{index}"], [product]))
        value = f"r{index}"
        if not last:
            nodes.append(helper.make_node("Relu", [product], [value]))
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", widths[0]])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_a_wide_policy_is_exported_in_bounded_memory(tmp_path: Path) -> None:
    """40,000 weights took 5.5 GB."""
    need("gcc")
    path = mlp(tmp_path / "m.onnx", 4, 8000, 1)
    words = ["--observations", "2500", "--encoding", "dense"]
    code, most, said = peak("export", str(path), "--out", str(tmp_path / "p"), *words)
    assert (code, most < MOST_BYTES) == (0, True), (code, most, said)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((4, 60_000, 1), "whose values take 240,000 bytes of RAM; give 1 to 16384 neurons a layer"),
        (
            (4, 1200, 1200, 1),
            "its layers would hold 1446000 numbers; a policy for a microcontroller has at most",
        ),
        ((5000, 4, 1), "an observation of 5000 values; give at most 4096"),
        ((4, 4, 5000), "an action of 5000 values; give at most 4096"),
    ],
)
def test_what_is_too_large_is_refused_before_memory_is_taken(
    widths: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    path = mlp(tmp_path / "m.onnx", *widths)
    code, most, said = peak("export", str(path), "--out", str(tmp_path / "p"))
    assert code == 2 and message in said and "\n" not in said, said
    assert most < MOST_BYTES


def test_a_calibration_file_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    """3.5 GB of zeros in some megabytes: read in parts, or refused by what its head says."""
    need("gcc")
    path = mlp(tmp_path / "m.onnx", 4, 8, 1)
    for rows, expected in ((20_000_000, 0), (400_000_000, 2)):
        bomb = tmp_path / f"{rows}.npz"
        _write_zeros(bomb, rows, 4)
        assert bomb.stat().st_size < 8 * 2**20
        words = ["--calibration", str(bomb), "--observations", "100", "--encoding", "csr"]
        code, most, said = peak("export", str(path), "--out", str(tmp_path / "p"), *words)
        assert (code, most < MOST_BYTES) == (expected, True), (code, most, said)


def _write_zeros(path: Path, rows: int, width: int) -> None:
    """An .npz of float32 zeros; of very many, only as many bytes as its head does not promise."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("observations.npy", "w", force_zip64=True) as member:
            head = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
            np.lib.format.write_array_header_1_0(member, head)
            part = b"\0" * 2**22
            for _ in range(min(rows, 20_000_000) * width * 4 // len(part) + 1):
                member.write(part)


@pytest.mark.parametrize("rows", [1, 3, COUNT, COUNT + 1, 3 * COUNT + 7, 60_000])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "i2"])
def test_rows_are_chosen_as_from_the_whole_array(rows: int, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    values = np.random.default_rng(rows).normal(size=(rows, 30)) * 1000
    array = values.astype(kind)
    np.savez_compressed(path, observations=array)
    step = -(-rows // COUNT)
    expected = array.astype(np.float32)
    assert np.array_equal(read_observations(path, 30), expected[::step])
    others = np.delete(expected, np.arange(0, rows, step), axis=0)
    others = others if len(others) else expected
    found = other_observations(path, 30, 500)
    assert np.array_equal(found, others[:: -(-len(others) // 500)])
