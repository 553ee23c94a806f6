"""Read files that give a value for each choice and whose signals say that the action is the choice:
an argmax is added behind their output."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.policy.choices import Choices, choices_of
from sparsectl.policy.onnx_file.output import values_in
from sparsectl.policy.onnx_file.tensors import short
from sparsectl.policy.signals import parse_json_object


def with_choice(model: ModelProto, output: str) -> tuple[ModelProto, str]:
    """Return the model with nodes that take the argmax of `output`'s values, and the name of their
    result; both unchanged if that output is not values of choices, or nothing says that the action
    is one.

    Raises:
        UserError: the number of values is not that of the choices.
    """
    choices = _choices(model)
    if choices is None or not choices.count or values_in(output) is None:
        return model, output
    declared = next(value for value in model.graph.output if value.name == output)
    width = _width(declared)
    if width not in (None, choices.count):
        raise UserError(
            f"output {short(output)} has {width} values, but its signals say {choices.count} "
            "choices; export it again"
        )
    changed = ModelProto()
    changed.CopyFrom(model)
    index, number, name = f"{output}.index", f"{output}.number", f"{output}.choice"
    first = numpy_helper.from_array(np.array(choices.first, np.float32), f"{output}.first")
    changed.graph.initializer.append(first)
    changed.graph.node.extend(
        [
            helper.make_node("ArgMax", [output], [index], index, axis=-1, keepdims=1),
            helper.make_node("Cast", [index], [number], number, to=TensorProto.FLOAT),
            helper.make_node("Add", [number, first.name], [name], name),
        ]
    )
    shape = declared.type.tensor_type.shape.dim
    batch = [d.dim_value or d.dim_param or None for d in shape][:-1]
    del changed.graph.output[:]
    changed.graph.output.append(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [*batch, 1] if shape else None)
    )
    return changed, name


def _choices(model: ModelProto) -> Choices | None:
    texts = [entry.value for entry in model.metadata_props if entry.key == "sparsectl.signals"]
    return choices_of(parse_json_object(texts[0], "sparsectl.signals")) if texts else None


def _width(value: ValueInfoProto) -> int | None:
    """Return the last declared dimension; None: it is open."""
    sizes = value.type.tensor_type.shape.dim
    return int(sizes[-1].dim_value) or None if sizes else None
