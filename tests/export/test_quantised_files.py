"""Files of `onnxruntime.quantization` are read exactly: where the C takes another step than
onnxruntime, float32's rounding decides between the two."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from sparsectl.export.config import ExportConfig
from sparsectl.export.host_c import run_c
from sparsectl.export.pipeline import export_policy
from sparsectl.export.source.onnx_source import OnnxSource

SIZES = (3, 8, 8, 2)
OBSERVATIONS = 600
SIGNED, UNSIGNED = QuantType.QInt8, QuantType.QUInt8


def float32_file(path: Path, seed: int, layer: str) -> Path:
    """Three layers, with Gemm or with MatMul and Add, and a tanh at the end."""
    random = np.random.default_rng(seed)
    nodes, constants, value = [], {}, "observation"
    for index, (inputs, outputs) in enumerate(zip(SIZES, SIZES[1:], strict=False)):
        weight = random.normal(0, inputs**-0.5, (inputs, outputs))
        constants |= {f"w{index}": weight, f"b{index}": random.normal(0, 0.3, outputs)}
        if layer == "Gemm":
            nodes.append(helper.make_node("Gemm", [value, f"w{index}", f"b{index}"], [f"s{index}"]))
        else:
            nodes.append(helper.make_node("MatMul", [value, f"w{index}"], [f"m{index}"]))
            nodes.append(helper.make_node("Add", [f"m{index}", f"b{index}"], [f"s{index}"]))
        value, operator = (f"h{index}", "Relu") if outputs != SIZES[-1] else ("action", "Tanh")
        nodes.append(helper.make_node(operator, [f"s{index}"], [value]))
    for index, each in enumerate(nodes):
        each.name = f"n{index}"
    ends = [
        helper.make_tensor_value_info(name, 1, ["batch", size])
        for name, size in (("observation", SIZES[0]), ("action", SIZES[-1]))
    ]
    tensors = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "policy", ends[:1], ends[1:], tensors)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[opset]), path)
    return path


class Rows(CalibrationDataReader):  # type: ignore[misc]
    """Observations by which activations are scaled."""

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        self._rows = iter(random.normal(size=(50, 1, SIZES[0])).astype(np.float32))

    def get_next(self) -> Any:
        row = next(self._rows, None)
        return None if row is None else {"observation": row}


def quantised(folder: Path, form: str, layer: str, weights: QuantType, per_channel: bool) -> Path:
    before = float32_file(folder / "float32.onnx", 1, layer)
    path = folder / "quantised.onnx"
    if form == "dynamic":
        quantize_dynamic(before, path, per_channel=per_channel, weight_type=weights)
    else:
        quantize_static(
            before,
            path,
            Rows(),
            quant_format=QuantFormat[form],
            per_channel=per_channel,
            weight_type=weights,
            activation_type=UNSIGNED,
        )
    return path


@pytest.mark.parametrize(
    ("form", "layer", "weights", "per_channel"),
    [
        *product(("QDQ", "QOperator"), ("Gemm", "MatMul"), (SIGNED, UNSIGNED), (True, False)),
        *product(("dynamic",), ("MatMul",), (SIGNED, UNSIGNED), (True, False)),
    ],
)
def test_quantised_files_are_exported(
    form: str, layer: str, weights: QuantType, per_channel: bool, tmp_path: Path
) -> None:
    path = quantised(tmp_path, form, layer, weights, per_channel)
    out = tmp_path / "out"
    config = ExportConfig(path, out, encoding="dense", observations=OBSERVATIONS)
    assert export_policy(config)["bit_exact"]
    given = np.random.default_rng(2).normal(size=(OBSERVATIONS, SIZES[0])).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # One by one, as a dynamic scale is of all that is given together.
    rows = [session.run(None, {"observation": given[i : i + 1]})[0] for i in range(len(given))]
    expected = np.concatenate(rows)
    found = run_c(out, given, SIZES[-1], out)
    apart = np.abs(found - expected).max(axis=1)
    # Of the values before a rounding some lie so close to the middle of two steps that the order
    # of float32's operations decides; a wrong scale or zero point would move nearly all rows.
    assert (apart > 1e-5).mean() < 0.02
    assert apart.max() < 0.1


@pytest.mark.parametrize("layer", ["Gemm", "MatMul"])
@pytest.mark.parametrize("form", ["QDQ", "QOperator", "dynamic"])
def test_a_step_that_rounding_decides_is_within_its_bound(
    form: str, layer: str, tmp_path: Path
) -> None:
    """The bound must cover the other step on the rows where two runs take different ones, and only
    there: elsewhere it stays float32's."""
    path = quantised(tmp_path, form, layer, SIGNED, True)
    source = OnnxSource(path, None, (SIZES[0], SIZES[-1]))
    given = np.random.default_rng(3).normal(size=(OBSERVATIONS, SIZES[0])).astype(np.float32)
    apart = np.abs(source.run(given) - source.exact(given))
    rounding = source.rounding(given)
    assert (apart <= np.maximum(rounding, 1e-6)).all()
    assert (rounding.max(axis=1) < 1e-5).mean() > 0.5
    assert (rounding.max(axis=1) > 1e-3).any()
