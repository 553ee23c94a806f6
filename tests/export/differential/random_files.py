"""Random policies as ONNX files, such as people write by hand around their networks: normalisers,
limits, dead bands, gates, products, skips and heads, at scales from 1e-6 to 1e6."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Array = np.ndarray

LEAST_EXPONENT, GREATEST_EXPONENT = -6.0, 6.0
"""Of the powers of ten that units are drawn from."""

EVERY_IMAGE = 8
"""The last seed of so many is of an image."""


@dataclass
class RandomFile:
    """A file in the making, and what its author knows of its observations."""

    random: random.Random
    centre: Array
    spread: Array
    """[width]: observations are about centre ± spread."""
    is_normalised: bool
    """True if the file itself says so, by a normaliser."""
    thresholds: list[tuple[int, float]] = field(default_factory=list)
    """(index, value) of an observation where the function has a corner or a step."""
    is_image: bool = False
    """True if the observation is an image, which a convolution reads."""
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def constant(self, value: object, dtype: object = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    @property
    def width(self) -> int:
        return len(self.centre)

    def number(self, low: float = -2.0, high: float = 2.0) -> str:
        return self.constant(np.float32(self.random.uniform(low, high)))


@dataclass(frozen=True)
class Value:
    """A value on its way: [batch, width], numbers of about `size`."""

    name: str
    width: int
    size: float = 1.0


def random_file(seed: int) -> RandomFile:
    """The file of this seed; its last value is called "action"."""
    if seed % EVERY_IMAGE == EVERY_IMAGE - 1:
        return image_file(seed)
    chosen = random.Random(seed)
    width = chosen.randint(1, 5)
    shared = chosen.random() < 0.5
    exponents = [chosen.uniform(LEAST_EXPONENT, GREATEST_EXPONENT) for _ in range(width)]
    spread = 10.0 ** np.array([exponents[0]] * width if shared else exponents)
    far = chosen.choice((0.0, 0.0, 1.0, 30.0))
    centre = far * spread * np.array([chosen.uniform(-1, 1) for _ in range(width)])
    file = RandomFile(chosen, centre, spread, is_normalised=chosen.random() < 0.5)
    value = _at_hand(file, Value("observation", width))
    for _ in range(chosen.randint(1, 4)):
        value = chosen.choice(STEPS)(file, value)
    value = _dense(file, value, chosen.randint(1, 3)) if chosen.random() < 0.8 else value
    for _ in range(chosen.choice((0, 0, 1, 1, 2))):
        value = chosen.choice(ENDS)(file, value)
    if chosen.random() < 0.4:  # the action's own unit
        unit = 10.0 ** chosen.uniform(LEAST_EXPONENT, GREATEST_EXPONENT)
        value = Value(file.add("Mul", value.name, file.constant(np.float32(unit))), value.width)
    file.nodes[-1].output[0] = "action"
    return file


def image_file(seed: int) -> RandomFile:
    """A small image, one convolution or two, and what people put after them."""
    chosen = random.Random(seed)
    channels, pixels = chosen.randint(1, 4), [chosen.randint(1, 6) for _ in range(2)]
    width = channels * pixels[0] * pixels[1]
    spread = 10.0 ** np.full(width, chosen.uniform(-2, 3))
    centre = chosen.choice((0.0, 0.0, 1.0, 30.0)) * spread
    file = RandomFile(chosen, centre, spread, chosen.random() < 0.5, is_image=True)
    size = 1.0 if file.is_normalised else float((np.abs(centre) + spread).max())
    x = "observation"
    if file.is_normalised:
        x = file.add("Sub", x, file.constant(centre))
        x = file.add("Div", x, file.constant(spread))
    last = chosen.random() < 0.5  # channels last, as most environments give them
    shape = [*pixels, channels] if last else [channels, *pixels]
    x = file.add("Reshape", x, file.constant([-1, *shape], np.int64))
    if last:
        x = file.add("Transpose", x, perm=[0, 3, 1, 2])
    for _ in range(chosen.choice((1, 1, 2))):
        x, channels, pixels = _convolution(file, x, channels, pixels, size)
        size = 1.0
    x = file.add("Reshape", x, file.constant([-1, channels * pixels[0] * pixels[1]], np.int64))
    value = Value(x, channels * pixels[0] * pixels[1])
    value = _mlp(file, value) if chosen.random() < 0.7 else value
    value = _dense(file, value, chosen.randint(1, 3))
    for _ in range(chosen.choice((0, 0, 1))):
        value = chosen.choice(ENDS)(file, value)
    file.nodes[-1].output[0] = "action"
    return file


def _convolution(
    file: RandomFile, x: str, channels: int, pixels: list[int], size: float
) -> tuple[str, int, list[int]]:
    """Conv with attributes drawn, and an activation: its name, channels and pixels."""
    chosen = file.random
    groups = chosen.choice([g for g in (1, 1, 1, 2, 3, 4) if channels % g == 0])
    outputs = groups * chosen.randint(1, 3)
    kernel = [chosen.randint(1, min(3, each)) for each in pixels]
    steps = [chosen.choice((1, 1, 2)) for _ in pixels]
    attributes: dict[str, object] = {"strides": steps, "group": groups}
    kind = chosen.choice(("none", "pads", "SAME_UPPER", "SAME_LOWER"))
    pads = [0] * 4
    if kind == "pads":
        pads = [chosen.randint(0, 2) for _ in pads]
        attributes["pads"] = pads
        reach = [each + pads[a] + pads[a + 2] for a, each in enumerate(pixels)]
        fits = [(r - 1) // (k - 1) if k > 1 else 3 for r, k in zip(reach, kernel, strict=True)]
        dilations = [chosen.randint(1, min(3, most)) for most in fits]
        attributes["dilations"] = dilations
        kernel_reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
        made = [(r - k) // s + 1 for r, k, s in zip(reach, kernel_reach, steps, strict=True)]
    elif kind == "none":
        made = [(p - k) // s + 1 for p, k, s in zip(pixels, kernel, steps, strict=True)]
    else:
        attributes["auto_pad"] = kind
        made = [-(-p // s) for p, s in zip(pixels, steps, strict=True)]
    own = channels // groups
    weight = _normal(file, (outputs, own, *kernel)) / np.sqrt(own * kernel[0] * kernel[1]) / size
    names = [x, file.constant(weight)]
    if chosen.random() < 0.7:
        names.append(file.constant(_normal(file, outputs) * 0.3))
    x = file.add("Conv", *names, **attributes)
    return _activation(file, Value(x, 0)).name, outputs, made


def model_of(file: RandomFile, dtype: type = np.float32) -> ModelProto:
    """The file, with its numbers in float32 or, for what its rounding is measured by, float64."""
    kind = TensorProto.DOUBLE if dtype is np.float64 else TensorProto.FLOAT
    constants = [
        numpy_helper.from_array(numpy_helper.to_array(c).astype(dtype), c.name)
        if c.data_type == TensorProto.FLOAT
        else c
        for c in file.constants
    ]
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in file.nodes]
    for attribute in (a for node in nodes if node.op_type == "Cast" for a in node.attribute):
        attribute.i = kind
    graph = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info("observation", kind, ["batch", file.width])],
        [helper.make_tensor_value_info("action", kind, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def met_by(file: RandomFile, count: int, seed: int) -> Array:
    """[count, width] float32: what the policy meets."""
    normal = np.random.default_rng(seed).standard_normal((count, file.width))
    met: Array = (file.centre + file.spread * normal).astype(np.float32)
    return met


def observations_of(file: RandomFile, seed: int) -> tuple[Array, Array]:
    """[count, width] float32: what the policy meets; and what it may, far out and at corners."""
    generator = np.random.default_rng(seed)
    normal = generator.standard_normal((200, file.width))
    met = file.centre + file.spread * normal
    wide = [file.centre + 6 * file.spread * generator.standard_normal((60, file.width))]
    size = 10.0 ** generator.uniform(LEAST_EXPONENT, GREATEST_EXPONENT, (60, file.width))
    wide.append(size * generator.choice((-1.0, 1.0), size.shape))
    for index, value in file.thresholds:
        for share in (1e-3, 0.1):
            for sign in (-1.0, 1.0):
                rows = met[generator.integers(0, len(met), 4)].copy()
                rows[:, index] = value + sign * share * max(abs(value), file.spread[index])
                wide.append(rows)
    return met.astype(np.float32), np.concatenate(wide).astype(np.float32)


def _at_hand(file: RandomFile, value: Value) -> Value:
    """The observation at a size that a network takes: by a normaliser, or by weights of its unit;
    sometimes by neither, as people do."""
    if file.is_normalised:
        mean, std = file.constant(file.centre), file.constant(file.spread)
        moved = file.add("Sub", value.name, mean)
        form = file.random.choice(("Div", "Mul"))
        factor = std if form == "Div" else file.constant(1 / file.spread)
        x = file.add(form, moved, factor)
        if file.random.random() < 0.4:
            x = file.add("Clip", x, file.constant(np.float32(-5)), file.constant(np.float32(5)))
        return Value(x, value.width)
    if file.random.random() < 0.5:
        return Value(value.name, value.width, float(file.spread.max()))
    weight = file.random.choice((4, 8, 16))
    rows = _normal(file, (value.width, weight)) / file.spread[:, None] / np.sqrt(value.width)
    x = file.add("MatMul", value.name, file.constant(rows))
    bias = file.constant(_normal(file, weight) * 0.3)
    return Value(file.add("Add", x, bias), weight)


def _normal(file: RandomFile, shape: object) -> Array:
    return np.random.default_rng(file.random.randrange(2**32)).standard_normal(shape)  # type: ignore[arg-type]


def _dense(file: RandomFile, value: Value, outputs: int = 0) -> Value:
    outputs = outputs or file.random.choice((2, 4, 8, 16))
    weight = _normal(file, (value.width, outputs)) / np.sqrt(value.width) / value.size
    if file.random.random() < 0.3:
        weight *= _normal(file, weight.shape) > 0
    names = [file.constant(weight), file.constant(_normal(file, outputs) * 0.3)]
    if file.random.random() < 0.5:
        return Value(file.add("Gemm", value.name, *names), outputs)
    return Value(file.add("Add", file.add("MatMul", value.name, names[0]), names[1]), outputs)


def _activation(file: RandomFile, value: Value) -> Value:
    operator = file.random.choice(
        ("Relu", "Tanh", "Sigmoid", "Elu", "LeakyRelu", "Softplus", "Selu", "Relu", "Tanh")
    )
    return Value(file.add(operator, value.name), value.width)


def _mlp(file: RandomFile, value: Value) -> Value:
    return _activation(file, _dense(file, value))


def _residual(file: RandomFile, value: Value) -> Value:
    inner = _dense(file, _mlp(file, value), value.width)
    scaled = file.add("Mul", inner.name, file.constant(np.float32(value.size)))
    return Value(file.add("Add", value.name, scaled), value.width, value.size)


def _concat(file: RandomFile, value: Value) -> Value:
    """DenseNet's form: what came in beside what was made of it."""
    inner = _mlp(file, value)
    scaled = file.add("Mul", inner.name, file.constant(np.float32(value.size)))
    parts = [value.name, scaled]
    file.random.shuffle(parts)
    return Value(file.add("Concat", *parts, axis=1), value.width + inner.width, value.size)


def _towers(file: RandomFile, value: Value) -> Value:
    left, right = _mlp(file, value), _mlp(file, value)
    joined = file.add("Concat", left.name, right.name, axis=-1)
    return Value(joined, left.width + right.width)


def _threshold(file: RandomFile, value: Value, size: float | None = None) -> str:
    """A number among those that the value takes; noted where the value is the observation."""
    index = file.random.randrange(value.width)
    where = file.random.uniform(-1.5, 1.5) * (value.size if size is None else size)
    if value.name == "observation":
        where = file.centre[index] + file.spread[index] * file.random.uniform(-1.5, 1.5)
        file.thresholds.append((index, float(np.float32(where))))
    return file.constant(np.float32(where))


def _where(file: RandomFile, value: Value) -> Value:
    """where(x > c, a, b) of values and numbers."""
    operator = file.random.choice(("Greater", "Less", "GreaterOrEqual", "LessOrEqual"))
    condition = file.add(operator, value.name, _threshold(file, value))
    pair = [value.name, file.random.choice((_threshold(file, value), file.constant(np.float32(0))))]
    file.random.shuffle(pair)
    return Value(file.add("Where", condition, *pair), value.width, value.size)


def _dead_band(file: RandomFile, value: Value) -> Value:
    """where(|x| < c, 0, x)."""
    width = np.float32(value.size * 10.0 ** file.random.uniform(-3, -0.5))
    inside = file.add("Less", file.add("Abs", value.name), file.constant(width))
    zero = file.constant(np.float32(0))
    return Value(file.add("Where", inside, zero, value.name), value.width, value.size)


def _limits(file: RandomFile, value: Value) -> Value:
    """Clip, or Max and Min; on one side or on both."""
    low, high = sorted(file.random.uniform(-1.5, 1.5) * value.size for _ in range(2))
    names = [file.constant(np.float32(low)), file.constant(np.float32(high))]
    kind = file.random.randrange(4)
    if kind == 0:
        return Value(file.add("Clip", value.name, *names), value.width, value.size)
    x = value.name
    if kind != 1:
        x = file.add("Max", *file.random.sample([x, names[0]], 2))
    if kind != 2:
        x = file.add("Min", *file.random.sample([x, names[1]], 2))
    return Value(x, value.width, value.size)


def _gate(file: RandomFile, value: Value) -> Value:
    """x sigmoid(k x), tanh(k x), or exp(-k |x|), with k of any size."""
    k = file.constant(np.float32(10.0 ** file.random.uniform(-4, 2) / value.size))
    inner = file.add("Mul", value.name, k)
    kind = file.random.randrange(4)
    if kind == 0:
        return Value(
            file.add("Mul", value.name, file.add("Sigmoid", inner)), value.width, value.size
        )
    if kind == 1:
        return Value(file.add("Sigmoid", inner), value.width)
    if kind == 2:
        return Value(file.add("Tanh", inner), value.width)
    return Value(file.add("Exp", file.add("Neg", file.add("Abs", inner))), value.width)


def _product(file: RandomFile, value: Value) -> Value:
    """x times a layer of x, x times x, or x times a switch on x."""
    kind = file.random.randrange(3)
    if kind == 0:
        other = _mlp(file, value)
        back = _dense(file, other, value.width)
        return Value(file.add("Mul", value.name, back.name), value.width, value.size)
    if kind == 1:
        return Value(file.add("Mul", value.name, value.name), value.width, value.size**2)
    above = file.add("Greater", value.name, _threshold(file, value))
    switch = file.add("Cast", above, to=TensorProto.FLOAT)
    return Value(file.add("Mul", value.name, switch), value.width, value.size)


def _affine(file: RandomFile, value: Value) -> Value:
    operator = file.random.choice(("Add", "Sub", "Mul", "Div"))
    size = value.size if operator in ("Add", "Sub") else 1.0
    other = file.constant(np.float32(file.random.uniform(0.3, 2) * size))
    return Value(file.add(operator, value.name, other), value.width, value.size)


STEPS: list[Callable[[RandomFile, Value], Value]] = [
    *(_mlp, _mlp, _mlp, _residual, _concat, _towers, _where, _dead_band, _limits, _gate),
    *(_product, _affine),
]
ENDS: list[Callable[[RandomFile, Value], Value]] = [
    *(_limits, _dead_band, _where, _gate, _affine, _activation),
]
