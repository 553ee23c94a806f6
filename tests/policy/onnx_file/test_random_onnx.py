"""Random chains of every form of operator: the graph read acts as onnxruntime does on the file."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from sparsectl.policy.onnx_file.reader import read_onnx
from sparsectl.policy.rounding import float32_rounding

Arrays = list[np.ndarray]


class Chain:
    """A file in the making: `value` is [batch, width]."""

    def __init__(self, generator: random.Random) -> None:
        self.random = generator
        self.numbers = np.random.default_rng(generator.randrange(2**32))
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.value, self.width = "observation", 4

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def vector(self, low: float, high: float) -> str:
        """One number, one a value, or a row."""
        shape = self.random.choice(((), (1,), (self.width,), (1, self.width)))
        return self.constant(self.numbers.uniform(low, high, shape).astype(np.float32))

    def wholes(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: object) -> list[str]:
        names = [f"v{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        self.value = names[0]
        return names


def dense(chain: Chain) -> None:
    outputs = chain.random.randint(1, 6)
    weight = chain.numbers.normal(size=(chain.width, outputs)).astype(np.float32)
    weight /= np.float32(np.sqrt(chain.width))
    bias = (chain.numbers.normal(size=outputs) * 0.3).astype(np.float32)
    if chain.random.random() < 0.5:
        names = [chain.constant(weight.T.copy()), chain.constant(bias)]
        chain.add("Gemm", chain.value, *names, transB=1, alpha=0.5)
    else:
        chain.add("MatMul", chain.value, chain.constant(weight))
        chain.add("Add", chain.constant(bias), chain.value)
    chain.width = outputs


def affine(chain: Chain) -> None:
    operator = chain.random.choice(("Add", "Sub", "Mul", "Div"))
    names = [chain.value, chain.vector(0.5, 1.5)]
    if operator in ("Add", "Sub", "Mul"):
        chain.random.shuffle(names)
    chain.add(operator, *names)


def activation(chain: Chain) -> None:
    operator = chain.random.choice(
        ("Relu", "LeakyRelu", "Elu", "Selu", "Softplus", "Sigmoid", "Tanh")
    )
    chain.add(operator, chain.value)


def swish(chain: Chain) -> None:
    before = chain.value
    factor = chain.constant(np.float32(1.5))
    inner = chain.add("Mul", before, factor)[0] if chain.random.random() < 0.5 else before
    gate = chain.add("Sigmoid", inner)[0]
    chain.add("Mul", *chain.random.sample([before, gate], 2))


def gelu(chain: Chain) -> None:
    x = chain.value
    half, one = (chain.constant(np.float32(value)) for value in (0.5, 1.0))
    erf = chain.add("Erf", chain.add("Div", x, chain.constant(np.float32(np.sqrt(2))))[0])[0]
    both = chain.add("Add", *chain.random.sample([erf, one], 2))[0]
    if chain.random.random() < 0.5:
        chain.add("Mul", chain.add("Mul", x, half)[0], both)
    else:
        chain.add("Mul", chain.add("Mul", both, x)[0], half)


def gelu_tanh(chain: Chain) -> None:
    x = chain.value
    power, cube = (chain.constant(np.float32(value)) for value in (3, 0.044715))
    inner = chain.add("Add", x, chain.add("Mul", chain.add("Pow", x, power)[0], cube)[0])[0]
    steep = chain.add("Mul", inner, chain.constant(np.float32(np.sqrt(2 / np.pi))))[0]
    gate = chain.add("Add", chain.add("Tanh", steep)[0], chain.constant(np.float32(1)))[0]
    chain.add("Mul", chain.add("Mul", x, gate)[0], chain.constant(np.float32(0.5)))


def softplus(chain: Chain) -> None:
    exponential = chain.add("Exp", chain.value)[0]
    chain.add("Log", chain.add("Add", exponential, chain.constant(np.float32(1)))[0])


def limits(chain: Chain) -> None:
    low, high = (chain.constant(np.float32(value)) for value in (-0.8, 0.9))
    if chain.random.random() < 0.5:
        chain.add("Clip", chain.value, low, high)
    else:
        chain.add("Max", chain.add("Min", chain.value, high)[0], low)


def pick(chain: Chain) -> None:
    count = chain.random.randint(1, 6)
    indices = [chain.random.randrange(-chain.width, chain.width) for _ in range(count)]
    chain.add("Gather", chain.value, chain.wholes(*indices), axis=1)
    chain.width = count


def reverse(chain: Chain) -> None:
    ranges = [chain.wholes(n) for n in (-1, -(2**40), -1, -1)]
    chain.add("Slice", chain.value, *ranges)


def parts(chain: Chain) -> None:
    """Split in two, one part scaled, joined the other way round, with a constant between."""
    if chain.width < 2:
        return
    first = chain.random.randint(1, chain.width - 1)
    sizes = chain.wholes(first, chain.width - first)
    a, b = chain.add("Split", chain.value, sizes, outputs=2, axis=-1)
    scaled = chain.add("Mul", a, chain.constant(np.float32(0.5)))[0]
    chain.add("Concat", b, scaled, axis=-1)


def form(chain: Chain) -> None:
    size = chain.add("Shape", chain.value)[0]
    batch = chain.add("Gather", size, chain.wholes(0))[0]
    shape = chain.add("Concat", batch, chain.wholes(1, -1), axis=0)[0]
    x = chain.nodes[-3].input[0]
    block = chain.add("Reshape", x, shape)[0]
    chain.add("Squeeze", chain.add("Identity", block)[0], chain.wholes(1))


STEPS: list[Callable[[Chain], None]] = [
    dense,
    affine,
    activation,
    swish,
    gelu,
    gelu_tanh,
    softplus,
    limits,
    pick,
    reverse,
    parts,
    form,
]
ALONE = (swish, gelu, gelu_tanh, softplus, limits)
"""A layer comes before and after these, unless limits come last: one function of several nodes
right after another is not recognised, and limits that differ are only possible for the action."""
HEADS = ("", "", "Softmax", "ArgMax")


def step(chain: Chain) -> None:
    chosen = chain.random.choice(STEPS)
    if chosen in ALONE:
        dense(chain)
    chosen(chain)
    if chosen in ALONE:
        dense(chain)


def random_file(seed: int, path: Path) -> None:
    chain = Chain(random.Random(seed))
    for _ in range(chain.random.randint(1, 8)):
        step(chain)
        if chain.random.random() < 0.4:
            dense(chain)
    dense(chain)
    for _ in range(chain.random.randint(0, 2)):
        step(chain)
    if chain.random.random() < 0.3:
        limits(chain)
        affine(chain)
        parts(chain)
        head = ""
    else:
        head = chain.random.choice(HEADS)
    if head:
        chain.add(head, chain.value, axis=1)
    graph = helper.make_graph(
        chain.nodes,
        "random",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ("batch", 4))],
        [helper.make_empty_tensor_value_info(chain.value)],
        chain.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("block", range(5))
def test_random_files_act_as_in_onnxruntime(block: int, tmp_path: Path) -> None:
    path = tmp_path / "random.onnx"
    observations = np.random.default_rng(block).normal(size=(40, 4)).astype(np.float32)
    for seed in range(block * 40, block * 40 + 40):
        random_file(seed, path)
        graph = read_onnx(path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        expected = np.asarray(session.run(None, {"observation": observations})[0], np.float64)
        found, exact = graph.forward(observations), graph.forward_exact(observations)
        if graph.layers[-1].activation == "argmax":
            clear = np.isfinite(float32_rounding(graph, observations))  # rounding decides elsewhere
            assert np.array_equal(found[clear], expected.reshape(found.shape)[clear]), seed
            continue
        size = max(1.0, np.abs(exact).max())
        assert np.abs(found - exact).max() <= 1e-5 * size, seed
        assert np.abs(expected - exact).max() <= 1e-5 * size, seed
