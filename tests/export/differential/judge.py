"""A random file through `sparsectl export`, and its C against onnxruntime on the file itself.

What float32 may differ by is measured, not guessed: by the same file in float64, and by how far
float64's actions move where the observations and each node's result move by float32's rounding.
"""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors

from sparsectl import cli
from sparsectl.export.config import ExportConfig
from sparsectl.export.encodings.registry import CONVOLVING, ROUNDED
from sparsectl.export.host_c import run_c
from tests.export.differential.random_files import (
    RandomFile,
    met_by,
    model_of,
    observations_of,
    random_file,
)

EXPORTED, REFUSED, WRONG = "exported", "refused", "WRONG"

SHARE = {"float32": 1e-5, "float16": 2e-2, "int16": 2e-2, "int8": 0.2}
"""Of what the actions span over the observations that the policy meets: what may be off there, by
the form of a weight; about four times the limits that export itself keeps to, and ten for float32,
as the observations are others."""
CALIBRATED = 3000
"""Rows of --calibration for what rounds weights, where the file has no normaliser."""
ROUNDINGS = 8.0
"""How often the measured rounding an action may be off."""
KEPT = 2.0**-52
"""Of an action's greatest value anywhere, what it may be off at the least. onnxruntime's Sigmoid is
0 from about -37 on, in float64 too, where the C's is still 1e-17: of a SiLU's values there, the C
has the better ones."""
COMPARISONS = ("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal", "Not", "And", "Or")
"""Operators whose results are no numbers."""
DRAWS = 6
"""How often the roundings are drawn anew."""
ROUNDED_EACH_WAY = 2.0**-23
"""What each number is moved by, at most, of itself: twice what float32 rounds by."""
OVERFLOWING = float(np.finfo(np.float32).max) * 2.0**-8
"""Where a value inside the file is greater than this, a part of it, such as a term of its sum, may
be more than float32 holds; the C, which sums in another order, need not overflow alike."""
ENCODINGS = (
    *("auto", "dense", "csr", "blocks", "blocks-skip", "straight-float32"),
    *("packed-int16", "straight-int16", "stream-int16", "csr-float16", "packed-int8"),
    "straight-int8",
)
ENCODINGS_OF_IMAGES = sorted(CONVOLVING)

Array = np.ndarray
Act = Callable[[Array, int], Array]
"""From [count, observation_size] and the number of actions to [count, action_size]."""


@dataclass(frozen=True)
class Verdict:
    """What became of the file of one seed."""

    seed: int
    encoding: str
    kind: str
    said: str = ""


@dataclass(frozen=True)
class Exported:
    """A file that export took, and the folder that it wrote."""

    seed: int
    encoding: str
    file: RandomFile
    model: Path
    out: Path
    kind: str
    """Form of a weight."""


def judge(seed: int, folder: Path) -> Verdict:
    """Export the file of `seed` and compare. The files stay in `folder` until the next call.

    Raises:
        AssertionError: export ended in another way than 0 or a line and 2.
    """
    found = export(seed, folder)
    if isinstance(found, Verdict):
        return found
    return compare(found, lambda given, actions: run_c(found.out, given, actions, found.out))


def export(seed: int, folder: Path, *more: str) -> Verdict | Exported:
    """Run `sparsectl export` on the file of `seed`, with the words `more` after the others.

    Raises:
        AssertionError: it ended in another way than 0 or a line and 2.
    """
    file = random_file(seed)
    encoding = file.random.choice(ENCODINGS_OF_IMAGES if file.is_image else ENCODINGS)
    path, out = folder / "model.onnx", folder / "policy"
    path.write_bytes(model_of(file).SerializeToString())
    words = ["export", str(path), "--out", str(out), "--encoding", encoding, "--json"]
    if encoding in ROUNDED and not file.is_normalised:  # it is refused without
        np.savez(folder / "met.npz", observations=met_by(file, CALIBRATED, seed + 1))
        words += ["--calibration", str(folder / "met.npz")]
    said, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
        code = cli.run([*words, "--observations", "500", "--vectors", "4", *more])
    lines = said.getvalue().replace(str(folder), "").strip().splitlines()
    lines = [line for line in lines if not line.startswith("export: ")]  # progress on a slow day
    if code > 128:  # a signal that the command took for its own: no verdict
        raise KeyboardInterrupt
    assert code in (0, 2), (seed, encoding, code, lines)
    if code:
        assert len(lines) == 1, (seed, encoding, lines)
        return Verdict(seed, encoding, REFUSED, lines[0].removeprefix("sparsectl export: "))
    result = json.loads(printed.getvalue())
    return Exported(seed, encoding, file, path, out, result["kind"])


def compare(exported: Exported, act: Act) -> Verdict:
    """Hold the C, which `act` runs, against the file."""
    wrong = _difference(exported, act)
    return Verdict(exported.seed, exported.encoding, WRONG if wrong else EXPORTED, wrong)


def _difference(exported: Exported, act: Act) -> str:
    """Where the C is not the file; "" where it is."""
    file, kind = exported.file, exported.kind
    met, wide = observations_of(file, exported.seed)
    if kind == "float32":
        given = np.concatenate([met, wide])
    else:
        given = met = _within(met, exported.out)
        if not len(given):
            return ""
    expected = _run(exported.model.read_bytes(), given)
    found = act(given, expected.shape[1])
    double = model_of(file, np.float64)
    exact = _run_exactly(double, given.astype(np.float64))
    overflows = _overflows(double, given)
    with np.errstate(all="ignore"):
        acted = _acted(exported)
        typical = np.maximum(np.ptp(acted, axis=0), np.median(np.abs(acted), axis=0))
        size = np.maximum(typical, np.abs(exact) if kind == "float32" else 1e-30)
        rounding = np.abs(expected - exact) + _moved(double, given, exact)
        finite = np.where(np.isfinite(exact), np.abs(exact), 0.0)
        greatest = np.maximum(finite.max(axis=0), 1.0)
        allowed = np.maximum(SHARE[kind] * size + ROUNDINGS * rounding, KEPT * greatest)
        off = np.abs(found.astype(np.float64) - exact) - np.abs(expected - exact)
        clear = np.isfinite(exact) & np.isfinite(expected) & np.isfinite(allowed)
        clear &= ~overflows[:, None]
        bad = np.argwhere(clear & ~(off <= allowed))
    if not len(bad):
        return ""
    row, column = bad[np.argmax([off[tuple(place)] / allowed[tuple(place)] for place in bad])]
    where = "met" if row < len(met) else "far"
    return (
        f"action {column} is {found[row, column]:.9g} where onnxruntime gives "
        f"{expected[row, column]:.9g} for {given[row].tolist()} ({where}; {len(bad)} of "
        f"{expected.size} over, allowed {allowed[row, column]:.3g})"
    )


def _acted(exported: Exported) -> Array:
    """The file's own actions on as many met observations as export takes by default:
    an action that moves in one observation of a thousand spans nothing in a hundred of them."""
    met = met_by(exported.file, ExportConfig.observations, exported.seed + 2)
    return _run(exported.model.read_bytes(), met).astype(np.float64)


def _within(observations: Array, out: Path) -> Array:
    """Those in the ranges that policy.json says the accuracy was measured in."""
    inputs = json.loads((out / "policy.json").read_text())["inputs"]
    low, high = (np.array([each[name] for each in inputs]) for name in ("held_low", "held_high"))
    inside: Array = observations[((observations >= low) & (observations <= high)).all(axis=1)]
    return inside


def _moved(model: ModelProto, given: Array, exact: Array) -> Array:
    """How far float64's actions move where each observation and each node's result moves by
    float32's rounding. Sums rounded in any order are exact sums of numbers moved so (Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1)."""
    shaken = ModelProto.FromString(model.SerializeToString())
    del shaken.graph.node[:]
    for index, node in enumerate(model.graph.node):
        shaken.graph.node.extend(_shaken(node, index))
    generator = np.random.default_rng(len(given))
    shares = ROUNDED_EACH_WAY * generator.choice((-1.0, 1.0), (DRAWS, *given.shape))
    observations = (given.astype(np.float64) * (1 + shares)).reshape(-1, given.shape[1])
    near = _run_exactly(shaken, observations)
    moved: Array = np.abs(near.reshape(DRAWS, *exact.shape) - exact).max(axis=0)
    return moved


def _shaken(node: NodeProto, index: int) -> list[NodeProto]:
    """The node, and what moves its result before others see it; of a comparison, the node alone."""
    if node.op_type in COMPARISONS:
        return [node]
    plain, factor = f"plain{index}", f"factor{index}"
    renamed = NodeProto.FromString(node.SerializeToString())
    renamed.output[0] = plain
    random = helper.make_node(
        "RandomUniformLike",
        [plain],
        [factor],
        dtype=TensorProto.DOUBLE,
        low=1 - ROUNDED_EACH_WAY,
        high=1 + ROUNDED_EACH_WAY,
        seed=float(index),
    )
    return [renamed, random, helper.make_node("Mul", [plain, factor], [node.output[0]])]


def _overflows(model: ModelProto, given: Array) -> Array:
    """[count]: whether a value inside the file goes, or may go, beyond float32 for it."""
    names = [node.output[0] for node in model.graph.node if node.op_type not in COMPARISONS]
    watched = ModelProto.FromString(model.SerializeToString())
    del watched.graph.output[:]
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in names
    )
    values = _values(watched, given.astype(np.float64))
    rows = [np.abs(each.reshape(len(given), -1)).max(axis=1) for each in values]
    return np.array(~(np.max(rows, axis=0) <= OVERFLOWING))


def _run(model: bytes, observations: Array) -> Array:
    found: Array = _session(model).run(None, {"observation": observations})[0]
    return found.reshape(len(observations), -1)


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run_exactly(model: ModelProto, observations: Array) -> Array:
    """The action in float64."""
    return _values(model, observations)[0].reshape(len(observations), -1)


def _values(model: ModelProto, observations: Array) -> list[Array]:
    """The outputs in float64; by onnx's own reference where onnxruntime has an operator, or joins
    two, in float32 alone."""
    try:
        return list(_session(model.SerializeToString()).run(None, {"observation": observations}))
    except (onnx_errors.NotImplemented, onnx_errors.Fail):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ReferenceEvaluator(model).run(None, {"observation": observations})
        return [np.asarray(each, np.float64) for each in found]
