"""Hostile ONNX files: real exports with bytes or structure damaged, and random graphs of every
operator that the reader knows."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from sparsectl.policy.onnx_file.operators import OPERATORS

NUMBERS = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 4, 8, 255, 65_536, 2**31, 2**62, 2**63 - 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e38, -1e39, float("inf"), float("nan"))
ATTRIBUTES = (
    *"axis axes perm alpha beta gamma epsilon transA transB keepdims to start end split".split(),
    *"starts ends steps min max approximate value scale offset training_mode".split(),
)
SHAPES = ((), (0,), (1,), (4,), (1, 4), (4, 1), (4, 4), (4, 8), (8, 4), (2, 2, 1), (1, 1, 4), (9,))


def damaged(seeds: list[bytes], generator: random.Random) -> bytes:
    """One hostile file."""
    make = generator.choice((_flipped, _cut, _spliced, _restructured, _restructured, _composed))
    return make(generator.choice(seeds), generator)


def _flipped(seed: bytes, generator: random.Random) -> bytes:
    damaged_bytes = bytearray(seed)
    for _ in range(generator.randint(1, 8)):
        damaged_bytes[generator.randrange(len(seed))] = generator.randrange(256)
    return bytes(damaged_bytes)


def _cut(seed: bytes, generator: random.Random) -> bytes:
    start, end = sorted(generator.randrange(len(seed) + 1) for _ in range(2))
    return generator.choice((seed[:end], seed[:start] + seed[end:], seed + seed[start:end]))


def _spliced(seed: bytes, generator: random.Random) -> bytes:
    start, end = sorted(generator.randrange(len(seed) + 1) for _ in range(2))
    place = generator.randrange(len(seed) + 1)
    return seed[:place] + seed[start:end] * generator.randint(1, 3) + seed[place:]


def _restructured(seed: bytes, generator: random.Random) -> bytes:
    model = ModelProto()
    try:
        model.ParseFromString(seed)
    except DecodeError:
        return seed
    for _ in range(generator.randint(1, 4)):
        generator.choice(CHANGES)(model, generator)
    return model.SerializeToString()


def _node(model: ModelProto, generator: random.Random) -> NodeProto:
    if not model.graph.node:
        model.graph.node.add().op_type = "Relu"
    return generator.choice(model.graph.node)


def _change_operator(model: ModelProto, generator: random.Random) -> None:
    _node(model, generator).op_type = generator.choice(sorted(OPERATORS))


def _change_wiring(model: ModelProto, generator: random.Random) -> None:
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    node = _node(model, generator)
    if node.input and names:
        node.input[generator.randrange(len(node.input))] = generator.choice(names)


def _change_attribute(model: ModelProto, generator: random.Random) -> None:
    _add_attribute(_node(model, generator), generator)


def _change_dims(model: ModelProto, generator: random.Random) -> None:
    if not model.graph.initializer:
        return
    tensor = generator.choice(model.graph.initializer)
    if tensor.dims and generator.random() < 0.7:
        tensor.dims[generator.randrange(len(tensor.dims))] = generator.choice(NUMBERS)
    else:
        tensor.data_type = generator.randrange(30)


def _change_values(model: ModelProto, generator: random.Random) -> None:
    if not model.graph.initializer:
        return
    place = generator.randrange(len(model.graph.initializer))
    name = model.graph.initializer[place].name
    model.graph.initializer[place].CopyFrom(_constant(name, generator))


def _put_outside(model: ModelProto, generator: random.Random) -> None:
    if not model.graph.initializer:
        return
    tensor = generator.choice(model.graph.initializer)
    tensor.data_location = TensorProto.EXTERNAL
    places = ("../../../etc/passwd", "/etc/passwd", "/dev/zero", ".", "", "a\0b", "missing.bin")
    for key, value in (
        ("location", generator.choice(places)),
        ("offset", str(generator.choice(NUMBERS))),
        ("length", str(generator.choice(NUMBERS))),
    ):
        if generator.random() < 0.8:
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value


def _change_input(model: ModelProto, generator: random.Random) -> None:
    ends = [*model.graph.input, *model.graph.output]
    if not ends:
        return
    value = generator.choice(ends)
    dims = value.type.tensor_type.shape.dim
    if dims and generator.random() < 0.8:
        generator.choice(dims).dim_value = generator.choice(NUMBERS)
    else:
        value.type.tensor_type.elem_type = generator.randrange(20)


def _repeat_node(model: ModelProto, generator: random.Random) -> None:
    node = _node(model, generator)
    for index in range(generator.choice((1, 2, 50))):
        copy = model.graph.node.add()
        copy.CopyFrom(node)
        if copy.output:
            copy.output[0] = f"again{index}"
        if index and copy.input:
            copy.input[0] = f"again{index - 1}"
    if model.graph.output and generator.random() < 0.5 and model.graph.node[-1].output:
        model.graph.output[0].name = model.graph.node[-1].output[0]


def _drop_something(model: ModelProto, generator: random.Random) -> None:
    graph = model.graph
    parts = [p for p in (graph.node, graph.initializer, graph.input, graph.output) if len(p) > 0]
    if parts:
        part = generator.choice(parts)
        del part[generator.randrange(len(part))]


def _change_opset(model: ModelProto, generator: random.Random) -> None:
    if model.opset_import:
        generator.choice(model.opset_import).version = generator.choice(NUMBERS)


CHANGES: tuple[Callable[[ModelProto, random.Random], None], ...] = (
    _change_operator,
    _change_wiring,
    _change_attribute,
    _change_dims,
    _change_values,
    _put_outside,
    _change_input,
    _repeat_node,
    _drop_something,
    _change_opset,
)


def _composed(_: bytes, generator: random.Random) -> bytes:
    """A random graph that ends in a layer: most of it reaches the handlers."""
    values, nodes, constants = ["observation"], [], []
    for index in range(generator.randint(1, 8)):
        names = []
        for place in range(generator.randint(1, 3)):
            if place == 0 or generator.random() < 0.3:
                names.append(generator.choice(values))
            else:
                constants.append(_constant(f"c{len(constants)}", generator))
                names.append(constants[-1].name)
        if generator.random() < 0.2:
            generator.shuffle(names)
        full = generator.choice(sorted(OPERATORS))
        domain, _, operator = full.rpartition(".")
        outputs = [f"v{index}", *([f"w{index}"] if generator.random() < 0.1 else [])]
        nodes.append(helper.make_node(operator, names, outputs, f"n{index}", domain=domain))
        if generator.random() < 0.5:
            _add_attribute(nodes[-1], generator)
        values += outputs
    constants.append(numpy_helper.from_array(np.ones((4, 2), np.float32), "weight"))
    last = generator.choice(values[-2:])
    nodes.append(helper.make_node("MatMul", [last, "weight"], ["action"]))
    output = generator.choice(("action", values[-1]))
    shape = generator.choice((("batch", 4), (1, 4), (4,), ("batch", 2, 2), ("batch", "n"), (4, 1)))
    graph = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        constants,
    )
    opset = helper.make_opsetid("", generator.choice((7, 11, 13, 17, 20)))
    return helper.make_model(graph, opset_imports=[opset]).SerializeToString()


def _add_attribute(node: NodeProto, generator: random.Random) -> None:
    name = generator.choice(ATTRIBUTES)
    values: tuple[object, ...] = (
        generator.choice(NUMBERS),
        generator.choice(FLOATS),
        [generator.choice(NUMBERS) for _ in range(generator.randint(1, 4))],
        [generator.choice(FLOATS) for _ in range(generator.randint(1, 4))],
        generator.choice((b"tanh", b"none", b"\xff")),
        _constant("a", generator),
    )
    attribute: AttributeProto = helper.make_attribute(name, generator.choice(values))
    node.attribute.append(attribute)


def _constant(name: str, generator: random.Random) -> TensorProto:
    shape = generator.choice(SHAPES)
    if generator.random() < 0.5:
        whole = [generator.choice(NUMBERS[2:10] * 3 + NUMBERS) for _ in range(int(np.prod(shape)))]
        return numpy_helper.from_array(np.array(whole, np.int64).reshape(shape), name)
    odd = generator.random() < 0.2
    size = int(np.prod(shape))
    numbers = [generator.choice(FLOATS) if odd else generator.gauss(0, 1) for _ in range(size)]
    with np.errstate(over="ignore"):
        array = np.array(numbers).reshape(shape).astype(generator.choice(("f4", "f4", "f8", "f2")))
    return numpy_helper.from_array(array, name)
