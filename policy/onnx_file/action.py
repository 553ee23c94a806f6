"""Convert the last nodes of a file, which scale and limit each action, into the action's signal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sparsectl.policy.onnx_file.program import Function, Program
from sparsectl.policy.onnx_file.symbol import NOTHING, Symbol


@dataclass(frozen=True)
class Action:
    """clip(scale * atom + offset, low, high)."""

    atom: int
    """NOTHING: the action is a constant, its offset."""
    scale: float = 1.0
    offset: float = 0.0
    low: float = -math.inf
    high: float = math.inf


def action_of(program: Program, output: Symbol, index: int) -> Action:
    """Return element `index` of the output, a vector, with the limits and the scaling after the
    last layer as the action's own; limits of limits, with any scaling between them, become one
    pair."""
    atom, (scale, shift, offset) = int(output.atom[index]), _numbers(output, index)
    offset += scale * shift
    low, high = -math.inf, math.inf
    while atom != NOTHING:
        step = program.step_of(atom)
        if not isinstance(step, Function) or step.name != "clip":
            break
        place = atom - step.first
        inner = step.inputs.moved(lambda values: values[0])
        limits = [
            scale * (p if isinstance(p, float) else float(p[place])) + offset
            for p in step.parameters
        ]
        least, most = limits if scale > 0 else limits[::-1]
        low, high = (min(max(limit, low), high) for limit in (least, most))
        atom, (inner_scale, shift, inner_offset) = int(inner.atom[place]), _numbers(inner, place)
        offset += scale * (inner_scale * shift + inner_offset)
        scale *= inner_scale
    return Action(atom, scale, offset, low, high)


def _numbers(symbol: Symbol, index: int) -> tuple[float, float, float]:
    return float(symbol.scale[index]), float(symbol.shift[index]), float(symbol.offset[index])
