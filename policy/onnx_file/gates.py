"""Activations that are spelled as a product: x sigmoid(x), x (1 + erf(x / sqrt 2)) / 2, ….

Of each product `gate` is one factor and `x` the other; None where it is another product.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from sparsectl.policy.activations import Float64
from sparsectl.policy.onnx_file.program import Program, Total
from sparsectl.policy.onnx_file.symbol import Symbol, close, ratio

ROUNDING = 1e-6
"""Relative error allowed for a product of four constants of a formula, each rounded to float32."""

_ROOT_2 = math.sqrt(2)
_TANH_GELU = (math.sqrt(2 / math.pi), 0.044715)


def _silu(program: Program, x: Symbol, gate: Symbol) -> Symbol | None:
    made = program.made_by(gate, "sigmoid")
    k = ratio(x, made.operands[0]) if made else None
    if made is None or k is None or (gate.total != 0).any():
        return None
    return program.apply("silu", made.operands[0]).scaled(k * gate.scale)


def _gelu(program: Program, x: Symbol, gate: Symbol) -> Symbol | None:
    made = program.made_by(gate, "error_function")
    k = ratio(x, made.operands[0]) if made else None
    if made is None or k is None or not close(gate.scale, gate.total).all():
        return None
    return program.apply("gelu", made.operands[0].scaled(_ROOT_2)).scaled(
        2 * gate.scale * k / _ROOT_2
    )


def _gelu_tanh(program: Program, x: Symbol, gate: Symbol) -> Symbol | None:
    made = program.made_by(gate, "tanh")
    if made is None or not close(gate.scale, gate.total).all():
        return None
    t = _gelu_argument(program, made.operands[0])
    k = ratio(x, t) if t is not None else None
    if t is None or k is None:
        return None
    return program.apply("gelu_tanh", t).scaled(2 * gate.scale * k)


def _gelu_argument(program: Program, steep: Symbol) -> Symbol | None:
    """Return t of sqrt(2 / pi) (t + 0.044715 t³), written as a sum or as sqrt(2 / pi) t (1 +
    0.044715 t²)."""
    for linear, scale, cubic in _linear_and_cubic(program, steep):
        t = linear.scaled(1 / _TANH_GELU[0])
        k = ratio(cubic, t)
        if k is None:
            continue
        if close(scale * k**3, _TANH_GELU[0] * _TANH_GELU[1], ROUNDING).all():
            return t
    return None


def _linear_and_cubic(program: Program, steep: Symbol) -> list[tuple[Symbol, Float64, Symbol]]:
    """Return (a, s, u) such that steep = a + s u³."""
    found = []
    step = program.owner(steep)
    if isinstance(step, Total) and step.terms.shape[1] == 2 and (steep.total == 0).all():
        places = steep.atom - step.first
        terms = [step.terms.part(places, side) for side in (0, 1)]
        for linear, cubic in (terms, terms[::-1]):
            cube = _cube(program, cubic)
            if cube is not None:
                found.append((linear.scaled(steep.scale), steep.scale * cube[0], cube[1]))
    made = program.made_by(steep, "product")
    if made is not None and (steep.total == 0).all():
        for linear, bracket in (made.operands, made.operands[::-1]):
            squared = program.made_by(bracket, "square")
            if squared is None or (bracket.total == 0).any():
                continue
            whole = linear.scaled(steep.scale * bracket.total)
            k = ratio(linear, squared.operands[0])
            if k is not None:
                scale = steep.scale * bracket.scale * k
                found.append((whole, scale, squared.operands[0]))
    return found


def _cube(program: Program, symbol: Symbol) -> tuple[Float64, Symbol] | None:
    """Return (s, u) such that symbol = s u³."""
    made = program.made_by(symbol, "product")
    if made is None or (symbol.total != 0).any():
        return None
    for square, other in (made.operands, made.operands[::-1]):
        squared = program.made_by(square, "square")
        if squared is None or (square.total != 0).any():
            continue
        k = ratio(other, squared.operands[0])
        if k is not None:
            return symbol.scale * square.scale * k, squared.operands[0]
    return None


def _mish(program: Program, x: Symbol, gate: Symbol) -> Symbol | None:
    made = program.made_by(gate, "tanh")
    if made is None or (gate.total != 0).any() or not made.operands[0].is_plain:
        return None
    inner = program.made_by(made.operands[0], "softplus")
    k = ratio(x, inner.operands[0]) if inner else None
    if inner is None or k is None:
        return None
    return program.apply("mish", inner.operands[0]).scaled(gate.scale * k)


def _hard_swish(program: Program, x: Symbol, gate: Symbol) -> Symbol | None:
    made = program.made_by(gate, "clip")
    if made is None or (gate.total != 0).any() or made.parameters[0] != 0.0:
        return None
    reach = made.parameters[1]
    if not isinstance(reach, float):
        return None
    z = made.operands[0].mapped(1 / reach, -0.5).scaled(6.0)  # clip(z / 6 + 1/2, 0, 1)
    k = ratio(x, z)
    return None if k is None else program.apply("hard_swish", z).scaled(k * gate.scale * reach)


def _switched(program: Program, x: Symbol, gate: Symbol) -> Symbol | None:
    """Return x (x > 0) and x (x <= 0)."""
    made = program.made_by(gate, "step")
    k = ratio(x, made.operands[0]) if made else None
    if made is None or k is None:
        return None
    d = made.operands[0]
    if (gate.total == 0).all():
        return program.apply("relu", d).scaled(k * gate.scale)
    if close(gate.total, -gate.scale).all():
        return program.apply("relu", d.scaled(-1.0)).scaled(-k * gate.total)
    return None


GATES: tuple[Callable[[Program, Symbol, Symbol], Symbol | None], ...] = (
    _silu,
    _gelu,
    _gelu_tanh,
    _mish,
    _hard_swish,
    _switched,
)
