"""Read files that give a value for each choice and whose signals, or whose user, say that the
action is the choice: an argmax is added behind their output."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from sparsectl.common.errors import UserError
from sparsectl.policy.choices import Choices, choices_of
from sparsectl.policy.onnx_file.output import values_in
from sparsectl.policy.onnx_file.tensors import short
from sparsectl.policy.signals import parse_json_object


def with_choice(model: ModelProto, output: str, argmax: bool = False) -> tuple[ModelProto, str]:
    """Return the model with nodes that take the argmax of `output`'s values, and the name of their
    result; both unchanged if that output is not values of choices, or nothing says that the action
    is one.

    argmax: whether the user says so, whatever the output is called.

    Raises:
        UserError: the number of values is not that of the choices, or there is one value alone.
    """
    choices = _choices(model) or (Choices(0, 0) if argmax else None)
    if choices is None or not (argmax or (choices.count and values_in(output))):
        return model, output
    declared = next(value for value in model.graph.output if value.name == output)
    width = _width(declared)
    shape = declared.type.tensor_type.shape.dim
    if argmax and (width == 1 or len(shape) == 1):
        raise UserError(
            f"output {short(output)} has one value, and --argmax takes one with a value for each "
            "choice; leave --argmax out, or name another with --output"
        )
    if choices.count and width not in (None, choices.count):
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
