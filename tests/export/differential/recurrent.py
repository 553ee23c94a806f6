"""Random recurrent files through `sparsectl export`, and their C, compiled with sanitizers, beside
onnxruntime, which steps through the file tick by tick.

Both keep their own state over sequences with resets. How far float32, or a rounded encoding, may
lead them apart is measured: by the file itself, stepped with states that are moved by as much as
such a state is rounded.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from sparsectl import cli
from sparsectl.export.encodings.registry import ENCODINGS
from sparsectl.export.host_c import compile_c
from tests.export.differential.judge import EXPORTED, REFUSED, SHARE, WRONG, Verdict

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
TICKS, RESETS = 150, 0.02
"""Of the sequence that is compared, and how often a tick of it begins with a reset."""
CALIBRATED = 1500
MOVED = {"float32": 2.0**-20, "float16": 2e-3, "int16": 2e-3, "int8": 4e-2}
"""By how much each tick's rounding may move a state, as a share of what it spans."""
TIMES = 4.0
"""How often as far as the moved file the C may be."""
DRAWS = 4
SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

Array = np.ndarray

PROGRAM = """\
#include "policy.h"
#include <stdio.h>

int main(void)
{
    float observation[POLICY_OBSERVATION_SIZE], action[POLICY_ACTION_SIZE];
    int reset;
    while ((reset = getchar()) != EOF) {
        if (fread(observation, sizeof observation, 1, stdin) != 1) {
            return 1;
        }
#ifdef POLICY_STATE_SIZE /* it has none where nothing that is read depends on a state */
        if (reset) {
            policy_reset();
        }
#endif
        policy_act(observation, action);
        fwrite(action, sizeof action, 1, stdout);
    }
    return 0;
}
"""


@dataclass(frozen=True)
class Cell:
    """One recurrent operator of a file."""

    operator: str
    units: int
    attributes: dict[str, object]
    tensors: dict[str, Array]
    """By the ONNX name of the input."""
    initial: tuple[Array, ...]
    """[units], of the hidden state, and of an LSTM's cell."""


@dataclass
class RecurrentFile:
    """A random policy with a state, which can be written with its state at the graph's ends, as
    constants, or inside."""

    random: random.Random
    width: int
    centre: Array
    spread: Array
    is_normalised: bool
    encoder: Array | None
    cells: list[Cell]
    head: Array
    bias: Array
    ending: str
    state: str
    sizes: tuple[object, object] = (1, 1)


def recurrent_file(seed: int) -> RecurrentFile:
    """The file of this seed."""
    chosen = random.Random(f"recurrent {seed}")
    generator = np.random.default_rng([7, seed])
    width, kept = chosen.randint(1, 5), chosen.choice((1.0, 1.0, 0.6, 0.2))
    spread = 10.0 ** generator.uniform(-3, 3, width)
    is_normalised = chosen.random() < 0.7
    spread = spread if is_normalised else np.ones(width)
    encoder = _sparse(generator, (width, chosen.randint(2, 6)), kept) if seed % 3 == 0 else None
    fed = width if encoder is None else encoder.shape[1]
    cells = []
    starts = chosen.choice(("zero", "zero", "constant"))
    for _ in range(chosen.choice((1, 1, 2))):
        cells.append(_cell(chosen, generator, fed, kept, starts))
        fed = cells[-1].units
    return RecurrentFile(
        random=chosen,
        width=width,
        centre=spread * generator.uniform(-2, 2, width),
        spread=spread,
        is_normalised=is_normalised,
        encoder=encoder,
        cells=cells,
        head=_sparse(generator, (fed, chosen.randint(1, 3)), 1.0),
        bias=generator.normal(size=1),
        ending=chosen.choice(("Tanh", "Tanh", "Clip", "")),
        state="constant" if starts == "constant" else chosen.choice(("given", "inside")),
        sizes=chosen.choice(((1, 1), (1, "batch"))),
    )


def _cell(
    chosen: random.Random, generator: np.random.Generator, fed: int, kept: float, starts: str
) -> Cell:
    operator, units = chosen.choice(tuple(GATES)), chosen.randint(1, 7)
    rows = GATES[operator] * units
    tensors = {
        "W": _sparse(generator, (1, rows, fed), kept),
        "R": _sparse(generator, (1, rows, units), kept),
    }
    if kept < 1.0:  # a unit that nothing feeds and that feeds nothing
        dead = generator.integers(units)
        tensors["R"][:, dead::units] = tensors["R"][:, :, dead] = tensors["W"][:, dead::units] = 0
    if chosen.random() < 0.8:
        tensors["B"] = 0.4 * generator.normal(size=(1, 2 * rows))
    attributes: dict[str, object] = {"hidden_size": units}
    if operator == "GRU":
        attributes["linear_before_reset"] = chosen.randint(0, 1)
    if operator == "RNN":
        attributes["activations"] = [chosen.choice(("Tanh", "Relu", "Sigmoid"))]
        tensors["R"] *= 0.5  # a Relu that is fed more than it loses has no bound
    if operator == "LSTM" and chosen.random() < 0.3:
        tensors["P"] = 0.5 * generator.normal(size=(1, 3 * units))
    size = 0.0 if starts == "zero" else 0.5
    count = 2 if operator == "LSTM" else 1
    initial = tuple(generator.uniform(-size, size, units).astype(np.float32) for _ in range(count))
    return Cell(operator, units, attributes, tensors, initial)


def _sparse(generator: np.random.Generator, shape: tuple[int, ...], kept: float) -> Array:
    values = generator.normal(size=shape) / np.sqrt(shape[-1])
    return values * (generator.random(shape) < kept)


def model_of(file: RecurrentFile, state: str) -> ModelProto:
    """The file with its state "given" at the ends of the graph, "constant", or "inside"."""
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    inputs = [helper.make_tensor_value_info("observation", 1, [*file.sizes, file.width])]
    outputs = [helper.make_tensor_value_info("action", 1, None)]

    def constant(value: object, dtype: object = np.float32) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype), f"c{len(constants)}"))
        return constants[-1].name

    def add(operator: str, *names: str, **attributes: object) -> str:
        nodes.append(helper.make_node(operator, names, [f"v{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    value = "observation"
    if file.is_normalised:
        value = add("Div", add("Sub", value, constant(file.centre)), constant(file.spread))
    if file.encoder is not None:
        value = add("Relu", add("MatMul", value, constant(file.encoder)))
    for index, cell in enumerate(file.cells):
        given = [value, *(constant(cell.tensors[n]) if n in cell.tensors else "" for n in "WRB")]
        given.append("")
        made = [f"y{index}"]
        for part, start in zip("hc", cell.initial, strict=False):
            name, shape = f"{part}{index}", [1, file.sizes[1], cell.units]
            made.append(f"{name}_out")
            if state == "given":
                given.append(f"{name}_in")
                inputs.append(helper.make_tensor_value_info(given[-1], 1, shape))
                outputs.append(helper.make_tensor_value_info(made[-1], 1, shape))
            elif state == "constant":
                given.append(constant(start.reshape(1, 1, -1)))
        if "P" in cell.tensors:
            given += [""] * (7 - len(given)) + [constant(cell.tensors["P"])]
        nodes.append(
            helper.make_node(cell.operator, given, made, f"cell{index}", **cell.attributes)
        )
        value = add("Squeeze", made[0], constant([1], np.int64))
    value = add("Squeeze", value, constant([0], np.int64))
    value = add("Add", add("MatMul", value, constant(file.head)), constant(file.bias))
    if file.ending == "Clip":
        value = add("Clip", value, constant(np.float32(-0.8)), constant(np.float32(0.9)))
    elif file.ending:
        value = add(file.ending, value)
    nodes.append(helper.make_node("Identity", [value], ["action"]))
    graph = helper.make_graph(nodes, "recurrent", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def sequence_of(file: RecurrentFile, ticks: int, seed: int) -> tuple[Array, Array]:
    """Observations that wander, [ticks, width], and where the state is reset, [ticks]."""
    generator = np.random.default_rng([11, seed])
    steps = generator.normal(size=(ticks, file.width))
    for tick in range(1, ticks):
        steps[tick] = 0.8 * steps[tick - 1] + 0.6 * steps[tick]
    middle = file.centre if file.is_normalised else np.zeros(file.width)
    resets = generator.random(ticks) < RESETS
    resets[0] = True
    return (middle + file.spread * steps).astype(np.float32), resets


def stepped(
    file: RecurrentFile, observations: Array, resets: Array, moved: float = 0.0, seed: int = 0
) -> Array:
    """The file's actions by onnxruntime, one tick a run, [ticks, actions]; each state that is
    handed on is moved by up to this share of the greatest that it has been."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = model_of(file, "given").SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng([13, seed])
    names = [value.name for value in session.get_inputs()][1:]
    first = [part.reshape(1, 1, -1) for cell in file.cells for part in cell.initial]
    greatest = [np.float32(1.0)] * len(first)
    states, actions = first, []
    for observation, reset in zip(observations, resets, strict=True):
        states = first if reset else states
        given = {
            "observation": observation.reshape(1, 1, -1),
            **dict(zip(names, states, strict=True)),
        }
        action, *states = session.run(None, given)
        actions.append(np.asarray(action).reshape(-1))
        if moved:
            greatest = [max(g, np.abs(s).max()) for g, s in zip(greatest, states, strict=True)]
            states = [
                s + (moved * g * generator.uniform(-1, 1, s.shape)).astype(np.float32)
                for g, s in zip(greatest, states, strict=True)
            ]
    return np.array(actions)


def judge_recurrent_ones(seeds: range) -> Iterator[Verdict]:
    """The verdict of each seed; one that ends in another way than export may counts as wrong."""
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="sparsectl-differential-") as folder:
            try:
                yield judge_recurrent(seed, Path(folder))
            except Exception as error:
                yield Verdict(seed, "", WRONG, f"{type(error).__name__}: {error}"[:500])


def judge_recurrent(seed: int, folder: Path) -> Verdict:
    """Export the file of `seed` and compare. The files stay in `folder`.

    Raises:
        AssertionError: export ended in another way than 0 or a line and 2.
    """
    file = recurrent_file(seed)
    encoding = file.random.choice(("auto", *ENCODINGS))
    path, out = folder / "model.onnx", folder / "policy"
    path.write_bytes(model_of(file, file.state).SerializeToString())
    met, ends = sequence_of(file, CALIBRATED, seed + 1)
    np.savez(folder / "met.npz", observations=met, terminations=np.roll(ends, -1))
    words = ["export", str(path), "--out", str(out), "--encoding", encoding, "--json"]
    words += ["--calibration", str(folder / "met.npz"), "--observations", "300", "--vectors", "4"]
    said, printed = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(printed),
        patch("sparsectl.commands.export.need_of_host", lambda folder, golden: ()),
    ):
        code = cli.run(words)
    lines = said.getvalue().replace(str(folder), "").strip().splitlines()
    lines = [x for x in lines if x.startswith("sparsectl export: ") and "warning:" not in x]
    if code > 128:
        raise KeyboardInterrupt
    assert code in (0, 2), (seed, encoding, code, lines)
    if code:
        assert len(lines) == 1, (seed, encoding, said.getvalue())
        return Verdict(seed, encoding, REFUSED, lines[0].removeprefix("sparsectl export: "))
    kind = json.loads(printed.getvalue())["kind"]
    wrong = _difference(file, seed, kind, out)
    return Verdict(seed, encoding, WRONG if wrong else EXPORTED, wrong)


def _difference(file: RecurrentFile, seed: int, kind: str, out: Path) -> str:
    """Where the C is not the file; "" where it is."""
    observations, resets = sequence_of(file, TICKS, seed)
    if kind != "float32":  # it is exact within what it was measured on
        inputs = json.loads((out / "policy.json").read_text())["inputs"]
        low, high = (
            np.array([x[n] for x in inputs], np.float32) for n in ("held_low", "held_high")
        )
        observations = np.clip(observations, low, high)
    expected = stepped(file, observations, resets)
    near = [stepped(file, observations, resets, MOVED[kind], draw) for draw in range(DRAWS)]
    try:
        found = run_sanitized(out, observations, resets, expected.shape[1])
    except subprocess.CalledProcessError as error:
        return f"the sanitizers stopped the C: {error.stderr.decode()[-600:]}"
    span = np.maximum(np.ptp(expected, axis=0), np.median(np.abs(expected), axis=0))
    apart = np.max([np.abs(each - expected) for each in near], axis=0)
    # Where two runs once came apart they stay so until the next reset.
    for tick in range(1, len(apart)):
        if not resets[tick]:
            apart[tick] = np.maximum(apart[tick], apart[tick - 1])
    allowed = SHARE[kind] * span + TIMES * apart + 1e-6
    bad = np.argwhere(~(np.abs(found - expected) <= allowed))
    if not len(bad):
        return ""
    tick, action = bad[0]
    return (
        f"at tick {tick} action {action} is {found[tick, action]:.9g} where onnxruntime gives "
        f"{expected[tick, action]:.9g} ({len(bad)} of {found.size} over, allowed "
        f"{allowed[tick, action]:.3g})"
    )


def run_sanitized(sources: Path, observations: Array, resets: Array, actions: int) -> Array:
    """policy_act over a sequence, in a program of its own that ends where memory or arithmetic is
    wrong.

    Raises:
        CalledProcessError: it did.
    """
    program = sources / "sanitized.c"
    program.write_text(PROGRAM)
    binary = sources / "sanitized"
    compile_c([program, sources / "policy.c"], binary, sources, SANITIZED)
    rows = zip(observations.astype(np.float32), resets, strict=True)
    given = b"".join(bytes([int(reset)]) + row.tobytes() for row, reset in rows)
    made = subprocess.run([binary], input=given, capture_output=True, check=True, timeout=60).stdout
    return np.frombuffer(made, np.float32).reshape(-1, actions)
