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

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sparsectl.export.c_style import CStyle
from sparsectl.export.encodings.assembly.cortex_m4f import (
    CONDITION,
    Instruction,
    cycles,
    without_stalls,
)
from sparsectl.export.encodings.assembly.cortex_m4f_program import (
    Place,
    Program,
    Registers,
    float_registers,
)
from sparsectl.export.encodings.assembly.cortex_m4f_sums import (
    Inputs,
    add_block,
    add_products,
    columns_held,
    double_relu,
)
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import Layer, PolicyGraph

MAX_FUSED_OUTPUTS = 4
"""Outputs whose sums stay in registers while the last hidden layer is computed."""

_OBSERVATION, _HIDDEN, _SUMS = "r0", "r1", "r2"
_STORE = "r4"

# Sums, weights and inputs in registers at a time: what is tried for each layer.
_INPUTS_TRIED = (3, 4, 5, 6, 8)
_WEIGHTS_TRIED = (4, 6, 8, 10, 12)
_MOST_WEIGHTS_TO_SEARCH = 4_000
_MOST_INPUTS_KEPT = 12


def serves(graph: PolicyGraph) -> bool:
    """Return whether there is assembly for this graph: it needs hidden ReLU layers, and weights
    that can be halved exactly."""
    hidden, readers = graph.layers[:-1], graph.layers[1:]
    exact = all(np.array_equal(_halved(layer.weight) * 2, layer.weight) for layer in readers)
    return bool(hidden) and exact and all(layer.activation == "relu" for layer in hidden)


def hidden_size(graph: PolicyGraph) -> int:
    """Return the floats of scratch memory for the layers before the one that stays in registers,
    which use two parts of it in turn."""
    stored = [layer.outputs for layer in _stored(graph)]
    return max(1, max(stored[0::2], default=0) + max(stored[1::2], default=0))


def assembly(graph: PolicyGraph, style: CStyle) -> str:
    """Return policy.S with `void policy_sums(const float *observation, float *hidden, float
    *sums)`.

    hidden: `hidden_size(graph)` floats of scratch; sums: the last layer's before its activation.
    """
    program = Program()
    for task in _tasks(graph):
        ways = (_layer(task, *way) for way in _ways(task))
        best = min(ways, key=lambda way: cycles(without_stalls(way.instructions)))
        program.instructions += best.instructions
        program.words += best.words
    return _source(style, without_stalls(program.instructions), program.words)


@dataclass(frozen=True)
class _Task:
    """A layer, together with the last one if that is fused into it."""

    weight: Float32
    bias: Float32
    hidden: bool
    """True if relu follows here; the last layer's activation is left to C."""
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
    """Return the layers whose values go through memory."""
    fuse = len(graph.layers) > 1 and graph.action_size <= MAX_FUSED_OUTPUTS
    return graph.layers[: len(graph.layers) - (2 if fuse else 1)]


def _places(graph: PolicyGraph) -> list[Place]:
    """Return the places of the observation and of the values of each stored layer."""
    stored = _stored(graph)
    odd = 4 * max((layer.outputs for layer in stored[0::2]), default=0)
    offsets = [odd if index % 2 else 0 for index in range(len(stored))]
    return [Place(_OBSERVATION, 0), *(Place(_HIDDEN, offset) for offset in offsets)]


def _ways(task: _Task) -> list[tuple[Registers, bool]]:
    """Return what to try: the use of the registers, and whether all inputs stay in them."""
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
    inputs = Inputs(program, task.x, registers.inputs)
    if resident:
        inputs.keep_all(task.weight.shape[1])
    if task.last:
        program.load_words(registers.first_output, task.last.bias)
    if not task.last:
        program.point(_STORE, task.y)
    for start in range(0, len(task.bias), registers.sums):
        rows = slice(start, min(start + registers.sums, len(task.bias)))
        add_block(program, registers, inputs, task.weight[rows], task.bias[rows])
        sums = float_registers(registers.first_sum, rows.stop - rows.start)
        if task.hidden:
            double_relu(program, registers, sums)
        if task.last:
            add_products(program, registers, columns_held(task.last.weight[:, rows], registers))
        else:
            program.store(_STORE, sums)
    if task.last:
        program.point(_STORE, task.y)
        program.store(_STORE, float_registers(registers.first_output, task.outputs))
    return program


def _halved(weight: Float32) -> Float32:
    return weight * np.float32(0.5)


def _source(style: CStyle, instructions: Sequence[Instruction], words: Sequence[float]) -> str:
    body = "".join(f"    {instruction.text}\n" for instruction in instructions)
    bits = np.array(words, np.float32).view(np.uint32).tolist()
    rows = [", ".join(f"0x{word:08x}" for word in bits[i : i + 6]) for i in range(0, len(bits), 6)]
    table = "".join(f"    .word {row}\n" for row in rows)
    return style.render(_TEMPLATE, condition=style.render(CONDITION), body=body, table=table)


_TEMPLATE = """\
#if {{condition}}

/* void {{policy}}_sums(const float *observation, float *hidden, float *sums): \
as in {{policy}}.c, the
 * same sums in the same order. r3 runs through the weights in the order of their use. */
    .syntax unified
    .thumb
    .text
    .align 2
    .global {{policy}}_sums
    .thumb_func
    .type {{policy}}_sums, %function
{{policy}}_sums:
    push {r4, lr}
    vpush {s16-s31}
    movw r3, #:lower16:{{policy}}_weights
    movt r3, #:upper16:{{policy}}_weights
{{body}}    vpop {s16-s31}
    pop {r4, pc}
    .size {{policy}}_sums, . - {{policy}}_sums

    .section .rodata
    .align 2
{{policy}}_weights:
{{table}}
#endif
"""
