"""Files that `writer` wrote, where nodes alone do not say how the layers were cut."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message  # type: ignore[import-untyped]
from onnx import ModelProto, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import Layer, PolicyGraph, Segment
from sparsectl.policy.onnx_file.tensors import Array, TensorReader
from sparsectl.policy.onnx_file.writer import LAYERS, STATE, kernel_of, onnx_model
from sparsectl.policy.signals import parse_json_object, parse_signals


def read_written(model: ModelProto, tensors: TensorReader) -> PolicyGraph | None:
    """Return the policy that the file was written from; None if `write_onnx` did not write it.

    The metadata is not believed: the file must be, node by node and number by number, what the
    policy is written as.
    """
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if LAYERS not in metadata or "sparsectl.signals" not in metadata:
        return None
    arrays = {tensor.name: tensors.dense(tensor) for tensor in model.graph.initializer}
    arrays |= {each.values.name: tensors.sparse(each) for each in model.graph.sparse_initializer}
    text = metadata["sparsectl.signals"]
    signals = parse_signals(parse_json_object(text, "sparsectl.signals"), "sparsectl.signals")
    provenance = metadata.get("sparsectl.provenance")
    try:
        layers = parse_json_object(f'{{"layers": {metadata[LAYERS]}}}', LAYERS)["layers"]
        state = parse_json_object(f'{{"state": {metadata.get(STATE, "[]")}}}', STATE)["state"]
        graph = PolicyGraph(
            tuple(_layer(index, parts, arrays) for index, parts in enumerate(layers)),
            **signals._asdict(),
            environment=metadata.get("sparsectl.environment"),
            provenance=parse_json_object(provenance, "sparsectl.provenance") if provenance else {},
            reset_state=tuple(state),
        )
    except (UserError, KeyError, TypeError, ValueError, IndexError):
        return None
    return graph if graph.is_folded and _is_written_from(model, arrays, graph) else None


def _layer(index: int, parts: Any, arrays: dict[str, Array]) -> Layer:
    convolution = None
    if isinstance(parts[-1], dict):
        *parts, geometry = parts
        convolution = Convolution(**geometry)
    segments = tuple(Segment(neurons, name, tuple(rest)) for neurons, name, *rest in parts)
    name = f"layer{index}"
    weight = arrays[f"{name}.weight"]
    if convolution is not None:
        weight = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
    return Layer(weight, arrays[f"{name}.bias"], segments=segments, convolution=convolution)


def _is_written_from(model: ModelProto, arrays: dict[str, Array], graph: PolicyGraph) -> bool:
    written = onnx_model(graph)
    found = {t.name: numpy_helper.to_array(t) for t in written.graph.initializer}
    weights = {
        f"layer{i}.weight": kernel_of(layer.weight, layer.convolution)
        if layer.convolution
        else layer.weight
        for i, layer in enumerate(graph.layers)
    }
    wanted = found | weights
    same_arrays = wanted.keys() == arrays.keys() and all(
        wanted[name].dtype == array.dtype
        and wanted[name].shape == array.shape
        and wanted[name].tobytes() == array.tobytes()
        for name, array in arrays.items()
    )
    return (
        same_arrays
        and _bytes(model.opset_import) == _bytes(written.opset_import)
        and all(
            _bytes(getattr(model.graph, part)) == _bytes(getattr(written.graph, part))
            for part in ("node", "input", "output")
        )
    )


def _bytes(messages: Any) -> list[bytes]:
    def encoded(message: Message) -> bytes:
        return bytes(message.SerializeToString(deterministic=True))

    return [encoded(message) for message in messages]
