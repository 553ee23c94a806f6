"""The proof: it is the user's own file that the C is held against, on observations that matter."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import sparsectl.export.pipeline
from sparsectl.common.errors import UserError
from sparsectl.common.signal_ranges import Pair, range_from
from sparsectl.export.config import ExportConfig
from sparsectl.export.host_c import run_c
from sparsectl.export.judged import require_agreement
from sparsectl.export.pipeline import export_policy
from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from tests.policy.onnx_file.onnx_files import HIDDEN, mlp, run_file, write_file

FEW: dict[str, Any] = {"observations": 1000, "vectors": 4}
MEAN = np.array([3000.0, 101325.0], np.float32)
STD = np.array([800.0, 40_000.0], np.float32)
node = helper.make_node


def normalised(path: Path, mean: np.ndarray = MEAN, std: np.ndarray = STD) -> Path:
    """(x - mean) / std of revolutions a minute and pascal, a network, tanh."""
    nodes, constants = mlp("z", "y", 2)
    before = [node("Sub", ["x", "mean"], ["d"]), node("Div", ["d", "std"], ["z"])]
    after = [node("Tanh", ["y"], ["action"])]
    given = {"mean": mean.astype(np.float32), "std": std.astype(np.float32)}
    return write_file(path, [*before, *nodes, *after], constants | given, {"x": ["b", 2]})


def realistic(count: int) -> np.ndarray:
    draw = np.random.default_rng(1).normal(size=(count, 2))
    return (MEAN + STD * draw).astype(np.float32)


@pytest.mark.parametrize(
    "encoding", ["packed-int16", "packed-int8", "stream-int16", "straight-int16"]
)
def test_fixed_point_fits_the_normaliser_that_is_in_the_file(encoding: str, tmp_path: Path) -> None:
    model, out = normalised(tmp_path / "model.onnx"), tmp_path / "p"
    result = export_policy(ExportConfig(model, out, encoding=encoding, error=2e-2, **FEW))
    assert result["inputs_from"] == "normaliser"
    x = realistic(500)
    expected, found = run_file(model, x), run_c(out, x, 1, out)
    assert np.ptp(expected) > 0.5 and np.abs(found - expected).max() < 0.02 * np.ptp(expected)
    for index, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        reported = result["inputs"][index]
        assert reported["from"] == "normaliser" and reported["cut_off"] > mean + 3 * std
        assert (reported["low"], reported["high"]) == pytest.approx(
            (mean - 3 * std, mean + 3 * std)
        )
    said = json.loads((out / "policy.json").read_text())
    assert said["inputs"] == result["inputs"] and said["inputs_from"] == "normaliser"
    header = (out / "policy.h").read_text()
    assert f"o1: cut off at -{result['inputs'][1]['cut_off']:.6g} and" in header
    assert "#define POLICY_INPUT_CUT_OFF" in header and said["source_sha256"] in header


def test_fixed_point_of_unknown_inputs_is_refused_with_the_mend(tmp_path: Path) -> None:
    nodes, constants = mlp("x", "action", 2)
    model = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    config = ExportConfig(model, tmp_path / "p", encoding="packed-int16", **FEW)
    with pytest.raises(UserError, match="nothing says what o0, o1 range over; give --calibration"):
        export_policy(config)
    assert export_policy(ExportConfig(model, tmp_path / "f", **FEW))["inputs_from"] == "scales"
    ranges = (Pair(-5, 5), Pair(0, 200))
    config = ExportConfig(model, tmp_path / "p", encoding="packed-int16", range=ranges, **FEW)
    reported = export_policy(config)["inputs"]
    assert [(each["low"], each["high"]) for each in reported] == [(-5, 5), (0, 200)]
    assert reported[0]["cut_off"] >= 5 and reported[1]["cut_off"] >= 200
    again = ExportConfig(tmp_path / "p", tmp_path / "q", encoding="stream-int16", **FEW)
    assert export_policy(again)["inputs"][1]["high"] == 200  # policy.json knows it
    np.savez(tmp_path / "data.npz", observations=np.random.default_rng(0).normal(9, 3, (500, 2)))
    config = ExportConfig(
        model, tmp_path / "c", encoding="packed-int16", calibration=tmp_path / "data.npz", **FEW
    )
    assert export_policy(config)["inputs_from"] == "calibration"


def test_rounded_weights_are_judged_by_inputs_that_are_known(tmp_path: Path) -> None:
    """Of unknown inputs, errors were a share of what the actions span within 3 of 0, which is vast
    for a policy of inputs of a thousandth."""
    nodes, constants = mlp("x", "y", 2)
    nodes += [node("Mul", ["y", "y"], ["action"])]
    constants["w0"] *= 1000
    model = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    with pytest.raises(UserError, match="'csr-float16' rounds weights.*nothing says what o0, o1"):
        export_policy(ExportConfig(model, tmp_path / "p", encoding="csr-float16", **FEW))
    known = (Pair(-3e-3, 3e-3),)
    config = ExportConfig(model, tmp_path / "p", encoding="csr-float16", range=known, **FEW)
    assert export_policy(config)["max_error_share"] < 5e-3


JUMPS = {
    "a limit that lets go": (
        ["GreaterOrEqual y t c", "Where c y low action"],
        {"t": 0.1, "low": -1.5},
    ),
    "a switch": (["Sign y action"], {}),
    "a pole": (["Reciprocal y action"], {}),
}


@pytest.mark.parametrize("what", JUMPS)
def test_rounded_weights_are_judged_where_the_action_jumps(what: str, tmp_path: Path) -> None:
    """Weights in float16 move such a place by so little that few random observations lie between;
    there, the action is another."""
    steps, numbers = JUMPS[what]
    nodes, constants = mlp("x", "y", 2)
    constants |= {name: np.float32(value) for name, value in numbers.items()}
    nodes += [node(o, given, [made]) for o, *given, made in (step.split() for step in steps)]
    model = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    asked: dict[str, Any] = {"range": (Pair(-3, 3),), "observations": 100, "vectors": 4}
    with pytest.raises(UserError, match="that it meets.*take an encoding in float32"):
        export_policy(ExportConfig(model, tmp_path / "p", encoding="csr-float16", **asked))
    assert export_policy(ExportConfig(model, tmp_path / "p", encoding="csr", **asked))["bit_exact"]


def test_a_switch_that_rounded_weights_leave_in_its_place_is_exported(tmp_path: Path) -> None:
    model = write_file(tmp_path / "m.onnx", [node("Sign", ["x"], ["action"])], {}, {"x": ["b", 2]})
    config = ExportConfig(
        model, tmp_path / "p", encoding="csr-float16", range=(Pair(-3, 3),), **FEW
    )
    assert export_policy(config)["max_abs_error"]["host_c"] == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("5", "is '5'; give LOW,HIGH such as -5,5"),
        ("1,2,3", "give LOW,HIGH"),
        ("a,b", "give LOW,HIGH"),
        ("5,-5", "the lower first"),
        ("0,inf", "give finite numbers"),
        ("nan,1", "give finite numbers"),
    ],
)
def test_ranges_that_are_none(text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        range_from(text)


def test_as_many_ranges_as_signals(tmp_path: Path) -> None:
    nodes, constants = mlp("x", "action", 2)
    model = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    config = ExportConfig(model, tmp_path / "p", range=(Pair(0, 1),) * 3, **FEW)
    with pytest.raises(UserError, match="--range has 3 ranges, but the policy has 2 signals"):
        export_policy(config)


LATE = {
    "an action limit": (["Greater y t c", "Where c t y action"], {"t": 90.0}),
    "a dead band": (
        ["Abs y a", "Greater a t c", "Where c y none action"],
        {"t": 0.01, "none": 0.0},
    ),
    "a cap": (["Min y t action"], {"t": 100.0}),
    "a slow sigmoid": (["Mul y t s", "Sigmoid s action"], {"t": 4e-4}),
    "a step far out": (["Greater y t c", "Cast c step", "Add y step action"], {"t": 3e4}),
}
"""What the network's action goes through, which a reader could take for nothing or for a line."""


def with_tail(path: Path, name: str) -> Path:
    nodes, constants = mlp("x", "y", 3)
    lines, more = LATE[name]
    for line in lines:
        kind, *values = line.split()
        attributes = {"to": TensorProto.FLOAT} if kind == "Cast" else {}
        nodes.append(node(kind, values[:-1], values[-1:], **attributes))
    tail = {key: np.array([value], np.float32) for key, value in more.items()}
    return write_file(path, nodes, constants | tail, {"x": ["b", 3]})


def as_a_line(slope: float = 1.0, offset: float = 0.0) -> PolicyGraph:
    """The network of `with_tail`, misread: as if nothing, or a line, came after it."""
    _, w = mlp("x", "y", 3)
    last = Layer(slope * w["w1"].T, slope * w["b1"] + np.float32(offset), "identity")
    layers = (Layer(w["w0"].T, w["b0"], "relu"), last)
    return PolicyGraph(layers, tuple(Signal(f"o{i}") for i in range(3)), (Signal("a0"),))


@pytest.mark.parametrize("name", LATE)
def test_a_reader_that_misses_it_is_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = with_tail(tmp_path / "model.onnx", name)
    wrong = as_a_line(1e-4, 0.5) if name == "a slow sigmoid" else as_a_line()
    monkeypatch.setattr(sparsectl.export.pipeline, "read_model", lambda *a: wrong)
    for settings in ({}, {"error": 1e-3}, {"range": (Pair(-5, 5),)}):
        with pytest.raises(UserError, match="differs by .* the file was not read as it stands"):
            export_policy(ExportConfig(model, tmp_path / "p", **FEW, **settings))
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("name", LATE)
def test_what_exports_is_the_file_everywhere(name: str, tmp_path: Path) -> None:
    model, out = with_tail(tmp_path / "model.onnx", name), tmp_path / "p"
    try:
        export_policy(ExportConfig(model, out, **FEW))
    except UserError as error:
        assert "\n" not in str(error)
        return
    random = np.random.default_rng(2)
    x = (random.normal(size=(2000, 3)) * 10.0 ** random.uniform(-3, 5, (2000, 1))).astype("f4")
    expected, found = run_file(model, x), run_c(out, x, 1, out)
    size = np.abs(x).max(axis=1, keepdims=True)
    assert np.all(np.abs(found - expected) <= 1e-5 * np.maximum(size, 1e-2))


def test_one_action_where_the_file_has_five_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, constants = mlp("x", "y", 3)
    nodes.append(node("Expand", ["y", "shape"], ["action"]))
    shape = {"shape": np.array([1, 5])}
    model = write_file(tmp_path / "model.onnx", nodes, constants | shape, {"x": ["b", 3]})
    monkeypatch.setattr(sparsectl.export.pipeline, "read_model", lambda *a: as_a_line())
    with pytest.raises(UserError, match="gives 5 values for each observation, .* read with 1"):
        export_policy(ExportConfig(model, tmp_path / "p", **FEW))


def test_folding_that_costs_accuracy_is_no_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean, std = np.array([1e5, 3e4]), np.array([20.0, 5.0])
    model = normalised(tmp_path / "model.onnx", mean, std)
    _, w = mlp("z", "y", 2)
    weight = w["w0"].T / std
    first = Layer(weight, w["b0"] - weight @ mean, "relu")
    signals = tuple(Signal(f"o{i}") for i in range(2))
    folded = PolicyGraph((first, Layer(w["w1"].T, w["b1"], "tanh")), signals, (Signal("a0"),))
    monkeypatch.setattr(sparsectl.export.pipeline, "read_model", lambda *a: folded)
    with pytest.raises(UserError, match="float32 in the file's own order explains") as caught:
        export_policy(ExportConfig(model, tmp_path / "p", **FEW))
    assert "model.onnx in onnxruntime" in str(caught.value)


def test_the_output_stands_everywhere(tmp_path: Path) -> None:
    nodes, constants = mlp("x", "value", 2)
    nodes.append(node("MatMul", ["hidden", "w1"], ["logits"]))
    outputs = ("value", "logits", "third")
    nodes.append(node("Neg", ["value"], ["third"]))
    model = write_file(tmp_path / "m.onnx", nodes, constants, {"x": ["b", 2]}, outputs)
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    for asked, chosen in ((None, "logits"), ("value", "value"), ("third", "third")):
        out = tmp_path / chosen
        result = export_policy(ExportConfig(model, out, output=asked, **FEW))
        assert result["output"] == chosen and f"output {chosen!r}" in result["proof"]["proven"]
        assert f" * output       {chosen}\n" in (out / "policy.h").read_text()
        assert json.loads((out / "policy.json").read_text())["output"] == chosen
        assert np.allclose(run_c(out, x, 1, out), run_file(model, x, chosen), atol=1e-5)
    with pytest.raises(UserError, match="no output 'action'; give --output value or logits"):
        export_policy(ExportConfig(model, tmp_path / "p", output="action", **FEW))


def test_weights_in_another_file_are_run_and_hashed(tmp_path: Path) -> None:
    nodes, constants = mlp("x", "action", 2)
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    x = np.random.default_rng(3).normal(size=(20, 2)).astype(np.float32)
    expected = run_file(path, x)
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=0
    )
    result = export_policy(ExportConfig(path, tmp_path / "p", **FEW))
    digest = hashlib.sha256((tmp_path / "weights").read_bytes()).hexdigest()
    assert result["source_data_sha256"] == {"weights": digest}
    assert result["source_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert np.allclose(run_c(tmp_path / "p", x, 1, tmp_path), expected, atol=1e-5)


def test_weights_that_onnx_will_not_read_are_refused(tmp_path: Path) -> None:
    """The reader takes a link inside the folder; onnx's loader refuses any."""
    nodes, constants = mlp("x", "action", 2)
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=0
    )
    (tmp_path / "weights").rename(tmp_path / "blob")
    (tmp_path / "weights").symlink_to("blob")
    with pytest.raises(UserError, match="weights cannot be read.*as a plain file"):
        export_policy(ExportConfig(path, tmp_path / "p", **FEW))
    assert not (tmp_path / "p").exists()


def test_runs_that_differ_on_most_observations_are_refused(tmp_path: Path) -> None:
    nodes, constants = mlp("x", "action", 2)
    path = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    source = OnnxSource(path, None, (2, 1))
    apart = np.zeros((100, 1))
    apart[:50] = 0.06
    require_agreement(source, apart)
    apart[50] = 0.06
    with pytest.raises(UserError, match="other actions in onnxruntime than in float64 for 51 of"):
        require_agreement(source, apart)


def test_the_inputs_that_the_accuracy_holds_for_are_told(tmp_path: Path) -> None:
    """Beyond the rows of a calibration, and before the cut-off, fixed point saturates inside."""
    nodes, constants = mlp("x", "action", 2)
    model = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    rows = np.random.default_rng(0).normal([5, -1], [0.5, 2], (4000, 2)).astype(np.float32)
    np.savez(tmp_path / "data.npz", observations=rows)
    export_policy(
        ExportConfig(
            model,
            tmp_path / "p",
            encoding="packed-int16",
            calibration=tmp_path / "data.npz",
            range=(Pair(-100, 100),),
            **FEW,
        )
    )
    said = json.loads((tmp_path / "p" / "policy.json").read_text())
    header = (tmp_path / "p" / "policy.h").read_text()
    for reported, column in zip(said["inputs"], rows.T, strict=True):
        assert (column.min(), column.max()) == pytest.approx(
            (reported["low"], reported["high"]), rel=0.1
        )
        low, high = reported["held_low"], reported["held_high"]
        assert column.min() <= low < np.median(column) < high <= column.max()
        assert f"{reported['name']}: {low:.6g} to {high:.6g}" in header
    beyond, within = said["accuracy"]["error_up_to_cut_off"], said["accuracy"]["max_abs_error"]
    assert beyond > 2 * within["host_c"]
    assert f"seen to be {beyond:.2g} off before inputs are cut off: not judged" in header


def test_limits_that_the_action_never_comes_near_do_not_make_errors_small(tmp_path: Path) -> None:
    """With 5 % of 2,000 allowed, int8 could have given anything."""
    nodes, constants = mlp("x", "y", 2)
    nodes += [node("Clip", ["y", "low", "high"], ["action"])]
    constants |= {"low": np.float32(-1000), "high": np.float32(1000)}
    model = write_file(tmp_path / "model.onnx", nodes, constants, {"x": ["b", 2]})
    result = export_policy(ExportConfig(model, tmp_path / "p", range=(Pair(-3, 3),), **FEW))
    span = np.ptp(run_file(model, np.random.default_rng(0).uniform(-3, 3, (1000, 2)).astype("f4")))
    assert 2 * span < result["action_range"] < 6 * span


def test_three_lines_say_what_is_proven(tmp_path: Path) -> None:
    model = normalised(tmp_path / "model.onnx")
    result = export_policy(ExportConfig(model, tmp_path / "p", encoding="packed-int16", **FEW))
    proof = result["proof"]
    assert set(proof) == {"proven", "on", "not proven"}
    assert "policy.c is its reference bit for bit" in proof["proven"]
    assert "model.onnx, output 'action', in onnxruntime" in proof["proven"]
    assert proof["on"].startswith("1000 observations spread over 3 scales around the offset")
    said = json.loads((tmp_path / "p" / "policy.json").read_text())
    beyond = said["accuracy"]["error_up_to_cut_off"]
    assert f"beyond those observations: seen to be {beyond:.2g} off before" in proof["not proven"]
    assert "they are cut off (o0 ±" in proof["not proven"]
    assert HIDDEN * 3 == result["kept_weights"]


def test_a_cast_to_float16_that_the_c_does_not_make_is_told(tmp_path: Path) -> None:
    """The C computes in float32, nearer to what the file means; its last digits are others."""
    nodes, constants = mlp("x", "action", 2)
    reported = []
    for kind in (TensorProto.FLOAT16, TensorProto.FLOAT):
        casts = [
            node("Cast", ["observation"], ["narrow"], to=kind),
            node("Cast", ["narrow"], ["x"], to=TensorProto.FLOAT),
        ]
        model = write_file(
            tmp_path / "model.onnx", casts + nodes, constants, {"observation": ["b", 2]}
        )
        found = export_policy(ExportConfig(model, tmp_path / "p", **FEW))
        reported.append("repeats the file's own rounding" in found["proof"]["not proven"])
    assert reported == [True, False]
