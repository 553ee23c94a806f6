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
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
)

from sparsectl.common.errors import UserError
from sparsectl.export.config import ExportConfig
from sparsectl.export.host_c import run_c
from sparsectl.export.pipeline import export_policy
from sparsectl.export.source.onnx_source import OnnxSource
from sparsectl.export.source.reference import reference
from sparsectl.policy.load import load_acting
from sparsectl.policy.onnx_file.reader import graph_of, read_onnx

SIZES = (3, 8, 8, 2)
OBSERVATIONS = 600
SIGNED, UNSIGNED = QuantType.QInt8, QuantType.QUInt8


def float32_file(path: Path, seed: int, layer: str) -> Path:
    """Three layers, with Gemm or with MatMul and Add, and a tanh at the end."""
    random = np.random.default_rng(seed)
    constants: dict[str, Any] = {}
    nodes, value = [], "observation"
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


def one_by_one(path: Path, given: Any) -> Any:
    """The actions of a file whose nodes run as they stand."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # One by one, as a dynamic scale is of all that is given together.
    rows = [session.run(None, {"observation": given[i : i + 1]})[0] for i in range(len(given))]
    return np.concatenate(rows)


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
    expected = one_by_one(path, given)
    found = run_c(out, given, SIZES[-1], out)
    apart = np.abs(found - expected).max(axis=1)
    # Of the values before a rounding some lie so close to the middle of two steps that the order
    # of float32's operations decides; a wrong scale or zero point would move nearly all rows.
    assert (apart > 1e-5).mean() < 0.02
    assert apart.max() < 0.1


@pytest.mark.parametrize("form", ["QDQ", "QOperator", "dynamic", "blocks"])
def test_a_teachers_actions_are_those_that_an_export_proves(form: str, tmp_path: Path) -> None:
    """An observation's action does not depend on which others are given with it, nor on nodes that
    onnxruntime joins."""
    if form == "blocks":
        path = in_blocks(tmp_path, "QDQ", 4, True)
    else:
        path = quantised(tmp_path, form, "MatMul", SIGNED, False)
    given = np.random.default_rng(3).normal(size=(50, SIZES[0])).astype(np.float32)
    given[7] *= 30
    found = load_acting(path).act(given)
    np.testing.assert_allclose(found, one_by_one(path, given), rtol=0, atol=1e-6)


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


def in_blocks(
    folder: Path, form: str, bits: int, symmetric: bool, level: int | None = None
) -> Path:
    """Weights of few bits in blocks of 16, of which no layer's inputs are a whole number."""
    before = onnx.load(float32_file(folder / "float32.onnx", 1, "MatMul"))
    before.opset_import[0].version = 21
    before.ir_version = 10
    config = DefaultWeightOnlyQuantConfig(
        block_size=16,
        is_symmetric=symmetric,
        accuracy_level=level,
        quant_format=QuantFormat[form],
        bits=bits,
    )
    quantiser = MatMulNBitsQuantizer(before, algo_config=config)
    quantiser.process()
    path = folder / "quantised.onnx"
    quantiser.model.save_model_to_file(str(path), False)
    return path


def referred(model: onnx.ModelProto, given: Any) -> Any:
    """The actions by onnx's reference, corrected."""
    values: Any = reference(model).run(None, {"observation": given})
    return values[0]


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("form", "bits"), [("QDQ", 4), *product(("QOperator",), (2, 4, 8))])
def test_weights_of_few_bits_are_read(
    form: str, bits: int, symmetric: bool, tmp_path: Path
) -> None:
    path = in_blocks(tmp_path, form, bits, symmetric)
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QDQ": "DequantizeLinear", "QOperator": "MatMulNBits"}[form] in operators
    given = np.random.default_rng(2).normal(size=(OBSERVATIONS, SIZES[0])).astype(np.float32)
    expected = one_by_one(path, given)
    by_reference = referred(onnx.load(path), given)
    for found in (read_onnx(path).forward(given), by_reference):
        assert np.abs(found - expected).max() < 1e-6


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_weights_of_four_bits_are_exported(form: str, tmp_path: Path) -> None:
    path, out = in_blocks(tmp_path, form, 4, False), tmp_path / "out"
    config = ExportConfig(path, out, encoding="dense", observations=OBSERVATIONS)
    assert export_policy(config)["bit_exact"]
    given = np.random.default_rng(2).normal(size=(OBSERVATIONS, SIZES[0])).astype(np.float32)
    assert np.abs(run_c(out, given, SIZES[-1], out) - one_by_one(path, given)).max() < 1e-6


def test_products_that_a_runtime_may_round_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="accuracy_level 4"):
        read_onnx(in_blocks(tmp_path, "QOperator", 4, True, level=4))


@pytest.mark.parametrize("zero", [None, [[3], [-2]], [[-7], [5]]])
@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.INT8])
@pytest.mark.parametrize("axis", [0, 1])
def test_values_are_quantised_in_blocks(
    kind: int, axis: int, zero: list[list[int]] | None, tmp_path: Path
) -> None:
    """An observation of two by five in whole steps; blocks of 3 leave one of 2 over."""
    scale = np.array([[0.5, 0.25], [0.125, 2.0]], np.float32)
    if axis == 0:
        scale = np.array([[0.5, 0.25, 0.125, 2.0, 1.0]], np.float32)
    tensors = [numpy_helper.from_array(scale, "scale")]
    names = ["x", "scale"]
    if zero is not None:
        numbers = np.broadcast_to(np.array(zero)[: len(scale)], scale.shape)
        tensors.append(helper.make_tensor("zero", kind, scale.shape, numbers.reshape(-1).tolist()))
        names.append("zero")
    block: dict[str, Any] = {"axis": axis, "block_size": 3}
    given_type: dict[str, Any] = {} if zero is not None else {"output_dtype": kind}
    nodes = [
        helper.make_node("Reshape", ["observation", "form"], ["x"]),
        helper.make_node("QuantizeLinear", names, ["q"], **block, **given_type),
        helper.make_node("DequantizeLinear", ["q", *names[1:]], ["y"], **block),
        helper.make_node("Reshape", ["y", "back"], ["action"]),
    ]
    tensors += [
        numpy_helper.from_array(np.array(form, np.int64), name)
        for name, form in (("form", [2, 5]), ("back", [1, 10]))
    ]
    ends = [helper.make_tensor_value_info(n, 1, [1, 10]) for n in ("observation", "action")]
    graph = helper.make_graph(nodes, "policy", ends[:1], ends[1:], tensors)
    opset = helper.make_opsetid("", 21)
    model = helper.make_model(graph, ir_version=10, opset_imports=[opset])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    policy = graph_of(model, tmp_path)
    for row in np.random.default_rng(4).normal(0, 2, (50, 1, 10)).astype(np.float32):
        expected = session.run(None, {"observation": row})[0]
        np.testing.assert_array_equal(policy.forward(row), expected)
        np.testing.assert_array_equal(referred(model, row), expected)


def test_steps_that_are_cast_to_their_own_type_are_read(tmp_path: Path) -> None:
    """As torch's eager quantisation writes them."""
    tensors = [
        numpy_helper.from_array(np.array(number, kind), name)
        for name, number, kind in (("s", 0.05, np.float32), ("z", 100, np.uint8))
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["observation", "s", "z"], ["q"]),
        helper.make_node("Cast", ["q"], ["c"], to=TensorProto.UINT8),
        helper.make_node("DequantizeLinear", ["c", "s", "z"], ["action"]),
    ]
    ends = [helper.make_tensor_value_info(n, 1, [1, 4]) for n in ("observation", "action")]
    graph = helper.make_graph(nodes, "policy", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    given = np.random.default_rng(4).normal(0, 5, (50, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = [session.run(None, {"observation": row[None]})[0][0] for row in given]
    np.testing.assert_array_equal(graph_of(model, tmp_path).forward(given), np.stack(expected))
    nodes[1].attribute[0].i = TensorProto.INT8
    model.graph.node[1].CopyFrom(nodes[1])
    with pytest.raises(UserError, match="casts to int8 what may lie outside"):
        graph_of(model, tmp_path)
