"""One node test as a policy: which of its inputs are the observation, and where the batch is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case.test_case import TestCase

from tests.policy.onnx_file.node_suite.applicable import OBSERVATIONS

Array = np.ndarray


@dataclass(frozen=True)
class Reading:
    """A way to take a test as a policy with one output."""

    name: str
    model: ModelProto
    observed: tuple[Array, ...]
    """The test's numbers for the model's inputs, in order."""
    expected: Array
    single: bool
    """True if all the numbers are one observation; otherwise their first axis is the batch."""

    def observations(self, size: int) -> Array | None:
        """[batch, size] float32; None where the test's numbers are not that many."""
        batch = 1 if self.single or not self.observed[0].ndim else len(self.observed[0])
        whole = np.concatenate([value.reshape(1, -1) for value in self.observed], axis=1)
        if whole.size == size:
            return whole.astype(np.float32)
        if any(value.size % batch for value in self.observed):
            return None
        rows = [value.reshape(batch, -1) for value in self.observed]
        found = np.concatenate(rows, axis=1).astype(np.float32)
        return found if found.shape[1] == size else None


def readings(case: TestCase, output: int) -> Iterator[Reading]:
    """The test as its file stands; with its first input alone the observation and the others
    constants; and either with all the numbers as one observation.

    A test of several sets of data counts with its first: the others change constants only.
    """
    (inputs, outputs), *_ = case.data_sets
    names = [value.name for value in case.model.graph.input]
    given = dict(zip(names, inputs, strict=False))
    read = _read_for(case.model, case.model.graph.output[output].name)
    floats = [n for n, v in given.items() if v.dtype in OBSERVATIONS and n in read]
    if not floats:
        return
    for observed in dict.fromkeys((tuple(floats), (floats[0],))):
        for single, layer in product((False, True), (False, True)):
            form = _Form(observed, output, single, layer, outputs[output].size)
            yield Reading(
                form.name(names),
                _model(case.model, given, form),
                tuple(given[name] for name in observed),
                outputs[output],
                single,
            )


def _read_for(model: ModelProto, output: str) -> set[str]:
    """The names that lead to an output."""
    read = {output}
    for node in reversed(model.graph.node):
        if read & set(node.output):
            read |= set(node.input)
    return read


@dataclass(frozen=True)
class _Form:
    """What distinguishes the readings of a test."""

    observed: tuple[str, ...]
    output: int
    single: bool
    layer: bool
    """True if a layer whose weights are the identity comes last."""
    size: int
    """Numbers of the output."""

    def name(self, inputs: list[str]) -> str:
        named = "all inputs" if len(self.observed) == len(inputs) else " and ".join(self.observed)
        last = ", before a layer" if self.layer else ""
        return f"{named} as {'one observation' if self.single else 'a batch'}{last}"


def _model(source: ModelProto, given: dict[str, Array], form: _Form) -> ModelProto:
    """A copy with the observed inputs alone and one output, "action" [batch, numbers]."""
    observed = form.observed
    model = ModelProto()
    model.CopyFrom(source)
    graph = model.graph
    inputs = [value for value in graph.input if value.name in observed]
    wanted = graph.output[form.output]
    nodes = list(graph.node)
    for name, value in given.items():
        if name not in observed:
            graph.initializer.append(numpy_helper.from_array(value, name))
    before, after, last = [], [], wanted.name
    if wanted.type.tensor_type.elem_type != TensorProto.FLOAT:
        after.append(helper.make_node("Cast", [last], ["as_float"], to=TensorProto.FLOAT))
        last = "as_float"
    if form.single:
        for index, value in enumerate(inputs):
            flat = f"flat_{value.name}"
            shape = np.array(given[value.name].shape, np.int64)
            graph.initializer.append(numpy_helper.from_array(shape, f"{flat}_shape"))
            before.append(helper.make_node("Reshape", [flat, f"{flat}_shape"], [value.name]))
            element, size = value.type.tensor_type.elem_type, given[value.name].size
            inputs[index] = helper.make_tensor_value_info(flat, element, [1, size])
    rows = 1 if form.single or not given[observed[0]].ndim else len(given[observed[0]])
    width = form.size // rows
    graph.initializer.append(numpy_helper.from_array(np.array([-1, width]), "rows"))
    after.append(helper.make_node("Reshape", [last, "rows"], ["in_rows"]))
    last = "in_rows"
    if form.layer:
        identity = np.eye(width, dtype=np.float32)
        graph.initializer.append(numpy_helper.from_array(identity, "layer"))
        after.append(helper.make_node("MatMul", [last, "layer"], ["in_layer"]))
        last = "in_layer"
    after.append(helper.make_node("Identity", [last], ["action"]))
    action = helper.make_tensor_value_info("action", TensorProto.FLOAT, [rows, width])
    for field, values in (
        (graph.input, inputs),
        (graph.output, [action]),
        (graph.node, [*before, *nodes, *after]),
    ):
        del field[:]
        field.extend(values)
    return model
