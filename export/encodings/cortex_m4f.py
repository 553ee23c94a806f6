"""Straight-line Cortex-M4F assembly of a whole network of relu layers.

The weights lie in one table in the order of their use and are loaded several at a time (VLDM: 1
cycle each); a product and a sum take 1 cycle each if neither waits for the instruction before it.
Rows are worked on in blocks whose sums stay in registers. Hidden values are kept doubled, as
x + |x| is 2 max(x, 0) in two instructions, lets NaN through and needs no branch; the weights that
read them are halved, which is exact. (Only a hidden value of 2^127 or more, at the end of
float32's range, comes out as infinity where the C form still has a number.)

Cycles: Arm Cortex-M4 Processor Technical Reference Manual (100166), tables 3-1 and 7-1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from export.activations import Float32
from export.graph import Layer, PolicyGraph

CONDITION = (
    "!defined(POLICY_NO_ASSEMBLY) && defined(__ARM_FP) && defined(__ARM_FEATURE_DSP) && \\\n"
    "    defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'"
)
"""For the preprocessor: on these cores policy.S stands in for the C form."""

MAX_FUSED_OUTPUTS = 4
"""Outputs whose sums stay in registers while the last hidden layer is computed."""

_REGISTERS = 32
_WINDOW_BYTES = 1024  # what VLDR's offset reaches from an address
_OBSERVATION, _HIDDEN, _SUMS, _STREAM = "r0", "r1", "r2", "r3"
_STORE, _FAR = "r4", "r12"

# Sums, weights and inputs in registers at a time: what is tried for each layer.
_INPUTS_TRIED = (3, 4, 5, 6, 8)
_WEIGHTS_TRIED = (4, 6, 8, 10, 12)
_MOST_WEIGHTS_TO_SEARCH = 4_000
_MOST_INPUTS_KEPT = 12
_LOOK_AHEAD = 12


@dataclass(frozen=True)
class Instruction:
    """One instruction and what its order depends on."""

    text: str
    writes: tuple[str, ...]
    reads: tuple[str, ...]
    cycles: int = 1
    arithmetic: bool = False
    """A float result: whoever takes it in the next instruction waits a cycle."""
    load: bool = False
    """A single load: the next one takes a cycle less."""


@dataclass
class Program:
    """Instructions and the table that they stream through."""

    instructions: list[Instruction] = field(default_factory=list)
    words: list[float] = field(default_factory=list)

    def load_words(self, first: int, values: Iterable[float]) -> None:
        """The next words of the table into registers from s`first` on."""
        taken = [float(value) for value in values]
        if not taken:
            return
        registers = _registers(first, len(taken))
        text = f"vldmia {_STREAM}!, {_list(registers)}"
        self.add(text, registers, (_STREAM,), cycles=1 + len(taken))
        self.words += taken

    def point(self, register: str, place: Place) -> None:
        """The address of `place` into a core register."""
        source, offset = place.register, place.offset_bytes
        high, low = offset // 4096 * 4096, offset % 4096
        for part in [high] if high else []:
            self.add(f"add.w {register}, {source}, #{part}", (register,), (source,))
            source = register
        if low or source != register:
            self.add(f"addw {register}, {source}, #{low}", (register,), (source,))

    def store(self, address: str, registers: Sequence[str]) -> None:
        """Registers to memory, the address moving on."""
        text = f"vstmia {address}!, {_list(registers)}"
        self.add(text, (address,), (address, *registers), cycles=1 + len(registers))

    def arithmetic(self, operation: str, result: str, *operands: str) -> None:
        text = f"{operation}.f32 {', '.join((result, *operands))}"
        self.instructions.append(Instruction(text, (result,), operands, arithmetic=True))

    def add(
        self,
        text: str,
        writes: Sequence[str],
        reads: Sequence[str],
        cycles: int = 1,
        load: bool = False,
    ) -> None:
        self.instructions.append(Instruction(text, tuple(writes), tuple(reads), cycles, load=load))


@dataclass(frozen=True)
class Place:
    """Where an array lies: bytes from an address register."""

    register: str
    offset_bytes: int


@dataclass(frozen=True)
class Registers:
    """The use of the 32 float registers in a layer: inputs, weights, sums, outputs, in order."""

    inputs: int
    weights: int
    outputs: int

    @property
    def sums(self) -> int:
        return _REGISTERS - self.inputs - self.weights - self.outputs

    @property
    def first_sum(self) -> int:
        return self.inputs + self.weights

    @property
    def first_output(self) -> int:
        return _REGISTERS - self.outputs


def serves(graph: PolicyGraph) -> bool:
    """Whether there is assembly for this graph: hidden relu layers, weights that can be halved."""
    hidden, readers = graph.layers[:-1], graph.layers[1:]
    exact = all(np.array_equal(_halved(layer.weight) * 2, layer.weight) for layer in readers)
    return bool(hidden) and exact and all(layer.activation == "relu" for layer in hidden)


def hidden_size(graph: PolicyGraph) -> int:
    """Floats of scratch memory: the layers before the one that stays in registers, in turns."""
    stored = [layer.outputs for layer in _stored(graph)]
    return max(1, max(stored[0::2], default=0) + max(stored[1::2], default=0))


def assembly(graph: PolicyGraph, function: str) -> str:
    """policy.S: `void function(const float *observation, float *hidden, float *sums)`.

    hidden: `hidden_size(graph)` floats of scratch; sums: the last layer's before its activation.
    """
    program = Program()
    for task in _tasks(graph):
        ways = (_layer(task, *way) for way in _ways(task))
        best = min(ways, key=lambda way: cycles(_without_stalls(way.instructions)))
        program.instructions += best.instructions
        program.words += best.words
    return _source(function, _without_stalls(program.instructions), program.words)


@dataclass(frozen=True)
class _Task:
    """A layer, and the last one with it where that is fused in."""

    weight: Float32
    bias: Float32
    hidden: bool
    """Whether relu follows here; the last layer's activation is left to C."""
    x: Place
    y: Place
    last: Layer | None = None
    """The last layer, with weights for doubled values, computed from sums that never leave their
    registers."""

    @property
    def outputs(self) -> int:
        return self.last.outputs if self.last else 0


def _tasks(graph: PolicyGraph) -> list[_Task]:
    layers = [graph.layers[0]]
    layers += [replace(layer, weight=_halved(layer.weight)) for layer in graph.layers[1:]]
    stored = len(_stored(graph))
    places = [*_places(graph), Place(_SUMS, 0)]
    tasks = [
        _Task(layer.weight, layer.bias, True, places[i], places[i + 1])
        for i, layer in enumerate(layers[:stored])
    ]
    layer, *rest = layers[stored:]
    last = rest[0] if rest else None
    return [*tasks, _Task(layer.weight, layer.bias, bool(last), places[stored], places[-1], last)]


def _stored(graph: PolicyGraph) -> tuple[Layer, ...]:
    """The layers whose values go through memory."""
    fuse = len(graph.layers) > 1 and graph.action_size <= MAX_FUSED_OUTPUTS
    return graph.layers[: len(graph.layers) - (2 if fuse else 1)]


def _places(graph: PolicyGraph) -> list[Place]:
    """Of the observation, then of each stored layer's values."""
    stored = _stored(graph)
    odd = 4 * max((layer.outputs for layer in stored[0::2]), default=0)
    offsets = [odd if index % 2 else 0 for index in range(len(stored))]
    return [Place(_OBSERVATION, 0), *(Place(_HIDDEN, offset) for offset in offsets)]


def _ways(task: _Task) -> list[tuple[Registers, bool]]:
    """What is tried: the registers' use, and whether all inputs stay in them."""
    outputs, inputs = task.outputs, task.weight.shape[1]
    ways = [
        (Registers(held, weights, outputs), False)
        for held in _INPUTS_TRIED
        for weights in _WEIGHTS_TRIED
    ]
    if np.count_nonzero(task.weight) > _MOST_WEIGHTS_TO_SEARCH:
        ways = [(Registers(4, 8, outputs), False)]
    if inputs <= _MOST_INPUTS_KEPT:
        ways += [(Registers(inputs, weights, outputs), True) for weights in _WEIGHTS_TRIED]
    return ways


def _layer(task: _Task, registers: Registers, resident: bool) -> Program:
    program = Program()
    inputs = _Inputs(program, task.x, registers.inputs)
    if resident:
        inputs.keep_all(task.weight.shape[1])
    if task.last:
        program.load_words(registers.first_output, task.last.bias)
    if not task.last:
        program.point(_STORE, task.y)
    for start in range(0, len(task.bias), registers.sums):
        rows = slice(start, min(start + registers.sums, len(task.bias)))
        _add_block(program, registers, inputs, task.weight[rows], task.bias[rows])
        sums = _registers(registers.first_sum, rows.stop - rows.start)
        if task.hidden:
            _double_relu(program, registers, sums)
        if task.last:
            _add_products(program, registers, _columns_held(task.last.weight[:, rows], registers))
        else:
            program.store(_STORE, sums)
    if task.last:
        program.point(_STORE, task.y)
        program.store(_STORE, _registers(registers.first_output, task.outputs))
    return program


@dataclass(frozen=True)
class _Product:
    weight: float
    input: str
    sum: str


class _Inputs:
    """The input registers: which column each holds, and how others get in."""

    def __init__(self, program: Program, place: Place, count: int) -> None:
        self._program = program
        self._place = place
        self._held: dict[int, str] = {}
        self._free = list(_registers(0, count))
        self._window = 0

    def keep_all(self, columns: int) -> None:
        self._program.point(_FAR, self._place)
        registers = _registers(0, columns)
        text = f"vldmia {_FAR}, {_list(registers)}"
        self._program.add(text, registers, (_FAR,), cycles=1 + columns)
        self._held = dict(enumerate(registers))

    def room(self, columns: Sequence[int], column: int) -> bool:
        """Whether `column` can be held beside `columns`."""
        wanted = {*columns, column}
        return wanted <= self._held.keys() or len(wanted) <= len(self._held) + len(self._free)

    def hold(self, columns: Sequence[int]) -> dict[int, str]:
        """The register of each column, after loading those that were not held."""
        missing = [column for column in columns if column not in self._held]
        for column in missing:
            if not self._free:
                old = next(each for each in self._held if each not in columns)
                self._free.append(self._held.pop(old))
            self._held[column] = self._free.pop(0)
            self._load(column, self._held[column])
        return {column: self._held[column] for column in columns}

    def _load(self, column: int, register: str) -> None:
        window, offset = divmod(self._place.offset_bytes + 4 * column, _WINDOW_BYTES)
        base = _FAR if window else self._place.register
        if window and window != self._window:
            self._program.point(_FAR, Place(self._place.register, window * _WINDOW_BYTES))
            self._window = window
        text = f"vldr {register}, [{base}, #{offset}]"
        self._program.add(text, (register,), (base,), cycles=2, load=True)


def _add_block(
    program: Program, registers: Registers, inputs: _Inputs, weight: Float32, bias: Float32
) -> None:
    """The sums of some rows, bias first, then the columns in ascending order."""
    places = [(int(c), int(r)) for c, r in zip(*np.nonzero(weight.T), strict=True)]
    first = True
    while places or first:
        batch = _batch(places, weight, registers.weights, inputs)
        places = places[len(batch) :]
        held = inputs.hold(list(dict.fromkeys(column for column, _ in batch)))
        products = [
            _Product(float(weight[row, column]), held[column], f"s{registers.first_sum + row}")
            for column, row in batch
        ]
        _add_batch(program, registers, products, bias if first else ())
        first = False


def _batch(
    places: Sequence[tuple[int, int]], weight: Float32, most_weights: int, inputs: _Inputs
) -> Sequence[tuple[int, int]]:
    """The first places that the weight and input registers have room for."""
    columns: list[int] = []
    weights = 0
    for position, (column, row) in enumerate(places):
        weights += not _is_unit(float(weight[row, column]))
        if weights > most_weights or not inputs.room(columns, column):
            return places[:position]
        columns.append(column)
    return places


def _add_products(program: Program, registers: Registers, products: Sequence[_Product]) -> None:
    for start in range(0, len(products), registers.weights):
        _add_batch(program, registers, products[start : start + registers.weights], ())


def _add_batch(
    program: Program,
    registers: Registers,
    products: Sequence[_Product],
    bias: Iterable[float],
) -> None:
    """sum += weight input for each; `bias` are the values that the sums start from, if here."""
    loaded = [product for product in products if not _is_unit(product.weight)]
    first = registers.first_sum - len(loaded)
    program.load_words(first, [*(product.weight for product in loaded), *bias])
    taken = dict(zip(map(id, loaded), _registers(first, len(loaded)), strict=True))
    for product in loaded:
        register = taken[id(product)]
        program.arithmetic("vmul", register, register, product.input)
    for product in products:
        operand = taken.get(id(product), product.input)
        operation = "vsub" if id(product) not in taken and product.weight < 0 else "vadd"
        program.arithmetic(operation, product.sum, product.sum, operand)


def _double_relu(program: Program, registers: Registers, sums: Sequence[str]) -> None:
    """x + |x| = 2 max(x, 0)."""
    spare = _registers(registers.inputs, registers.weights)
    for start in range(0, len(sums), len(spare)):
        pairs = list(zip(sums[start:], spare, strict=False))
        for each, magnitude in pairs:
            program.arithmetic("vabs", magnitude, each)
        for each, magnitude in pairs:
            program.arithmetic("vadd", each, each, magnitude)


def _columns_held(weight: Float32, registers: Registers) -> list[_Product]:
    """Products of the last layer with the block's values, which are in the sums' registers."""
    return [
        _Product(
            float(weight[output, column]),
            f"s{registers.first_sum + column}",
            f"s{registers.first_output + output}",
        )
        for column, output in zip(*map(np.ndarray.tolist, np.nonzero(weight.T)), strict=True)
    ]


def _is_unit(weight: float) -> bool:
    return abs(weight) == 1


def _halved(weight: Float32) -> Float32:
    return weight * np.float32(0.5)


def cycles(instructions: Sequence[Instruction]) -> int:
    """What a straight line of instructions takes."""
    total = sum(instruction.cycles for instruction in instructions)
    for before, after in pairwise(instructions):
        total += _waits(before, after)
        total -= before.load and after.load
    return total


def _waits(before: Instruction, after: Instruction) -> bool:
    return before.arithmetic and before.writes[0] in after.reads


def _without_stalls(instructions: Sequence[Instruction]) -> list[Instruction]:
    """Where an instruction waits for the one before it, a later one that can is moved between."""
    line = list(instructions)
    for place in range(len(line) - 1):
        if not _waits(line[place], line[place + 1]):
            continue
        for later in range(place + 2, min(place + 2 + _LOOK_AHEAD, len(line))):
            if _may_move(line, later, place + 1):
                line.insert(place + 1, line.pop(later))
                break
    return line


def _may_move(line: Sequence[Instruction], later: int, to: int) -> bool:
    moved = line[later]
    if not moved.arithmetic or _waits(line[to - 1], moved) or _waits(moved, line[to]):
        return False
    passed = line[to:later]
    written = {register for each in passed for register in each.writes}
    read = {register for each in passed for register in each.reads}
    return not (written & {*moved.reads, *moved.writes} or moved.writes[0] in read)


def _registers(first: int, count: int) -> tuple[str, ...]:
    return tuple(f"s{number}" for number in range(first, first + count))


def _list(registers: Sequence[str]) -> str:
    if len(registers) == 1:
        return f"{{{registers[0]}}}"
    return f"{{{registers[0]}-{registers[-1]}}}"


def _source(function: str, instructions: Sequence[Instruction], words: Sequence[float]) -> str:
    body = "".join(f"    {instruction.text}\n" for instruction in instructions)
    bits = np.array(words, np.float32).view(np.uint32).tolist()
    rows = [", ".join(f"0x{word:08x}" for word in bits[i : i + 6]) for i in range(0, len(bits), 6)]
    table = "".join(f"    .word {row}\n" for row in rows)
    return _TEMPLATE.format(condition=CONDITION, function=function, body=body, table=table)


_TEMPLATE = """\
#if {condition}

/* void {function}(const float *observation, float *hidden, float *sums): as in policy.c, the
 * same sums in the same order. r3 runs through the weights in the order of their use. */
    .syntax unified
    .thumb
    .text
    .align 2
    .global {function}
    .thumb_func
    .type {function}, %function
{function}:
    push {{r4, lr}}
    vpush {{s16-s31}}
    movw r3, #:lower16:policy_weights
    movt r3, #:upper16:policy_weights
{body}    vpop {{s16-s31}}
    pop {{r4, pc}}
    .size {function}, . - {function}

    .section .rodata
    .align 2
policy_weights:
{table}
#endif
"""
