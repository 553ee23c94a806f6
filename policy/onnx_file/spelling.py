"""Elementwise arithmetic on symbols; an activation that is spelled out is recognised by its nodes.

Recognition is exact: operands must be the same atoms, times constants that are the formula's. What
matches no spelling stays the operation that it is, so nothing is ever taken for something else; at
worst it costs more cycles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsectl.policy.activations import Float64
from sparsectl.policy.onnx_file.gates import GATES
from sparsectl.policy.onnx_file.program import Program
from sparsectl.policy.onnx_file.symbol import (
    NOTHING,
    SAME,
    Symbol,
    SymbolError,
    broadcast,
    close,
    constants,
    joined,
    of_arrays,
    ratio,
)

MAX_ELEMENTS = 1_000_000

NO_LIMIT = math.inf
LOWEST, GREATEST = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)
"""Limits that are none."""
SATURATED = 15.0
"""Argument from which on softplus equals it to within 3e-7 of 15."""


def add(program: Program, first: Symbol, second: Symbol) -> Symbol:
    a, b = broadcast([first, second], MAX_ELEMENTS)
    for one, other in ((a, b), (b, a)):
        if other.constant.all():
            biased = program.with_bias(one, other)
            return biased if biased is not None else one.mapped(None, other.offset)
    if (a.constant | b.constant | (a.atom == b.atom)).all():
        return _merged(a, b)
    for one, other in ((a, b), (b, a)):
        found = _half_absolute(program, one, other) or _stable_softplus(program, one, other)
        if found is not None:
            return found
    terms = joined([value.flat().moved(lambda v: v[:, None]) for value in (a, b)], 1)
    return program.total(terms).moved(lambda v: v.reshape(a.shape), a.batch)


def subtract(program: Program, first: Symbol, second: Symbol) -> Symbol:
    return add(program, first, second.scaled(-1.0))


def multiply(program: Program, first: Symbol, second: Symbol) -> Symbol:
    a, b = broadcast([first, second], MAX_ELEMENTS)
    for one, other in ((a, b), (b, a)):
        if other.constant.all():
            return one.scaled(other.offset)
    k = ratio(a, b)
    if k is not None:
        return program.apply("square", b).scaled(k)
    for one, other in ((a, b), (b, a)):
        for spelling in GATES:
            found = spelling(program, one, other)
            if found is not None:
                return found
    return program.apply("product", a, b)


def divide(program: Program, first: Symbol, second: Symbol) -> Symbol:
    a, b = broadcast([first, second], MAX_ELEMENTS)
    if b.constant.all():
        with np.errstate(divide="ignore"):
            return a.scaled(1 / b.offset)
    gate = _one_plus_exponential(program, b)
    if gate is not None:
        scale, z = gate
        return multiply(program, a, program.apply("sigmoid", z.scaled(-1.0)).scaled(1 / scale))
    if a.constant.all():
        return program.apply("reciprocal", b).scaled(a.offset)
    return program.apply("quotient", a, b)


def maximum(program: Program, first: Symbol, second: Symbol) -> Symbol:
    a, b = broadcast([first, second], MAX_ELEMENTS)
    for one, other in ((a, b), (b, a)):
        if other.constant.all():
            return clip(program, one, other.offset, NO_LIMIT)
    k = ratio(b, a)
    if k is None:
        return program.apply("maximum", a, b)
    if (k < 1).all():
        return leaky_relu(program, a, k)
    if (k > 1).all():
        return leaky_relu(program, b, 1 / k)
    return program.apply("maximum", a, b)


def minimum(program: Program, first: Symbol, second: Symbol) -> Symbol:
    a, b = broadcast([first, second], MAX_ELEMENTS)
    for one, other in ((a, b), (b, a)):
        if other.constant.all():
            return clip(program, one, -NO_LIMIT, other.offset)
    if ratio(a, b) is not None:
        return maximum(program, a.scaled(-1.0), b.scaled(-1.0)).scaled(-1.0)
    return program.apply("minimum", a, b)


def relu(program: Program, x: Symbol) -> Symbol:
    return program.apply("relu", x)


def leaky_relu(program: Program, x: Symbol, slope: Any) -> Symbol:
    """x, or slope x where it is negative; one slope, or one an element."""
    slopes = np.unique(slope)
    if slopes.size == 1 and slopes[0] == 1:
        return x
    if slopes.size == 1 and slopes[0] in (0, -1):
        return relu(program, x) if slopes[0] == 0 else absolute(program, x)
    given = float(slopes[0]) if slopes.size == 1 else slope
    return program.apply("leaky_relu", x, parameters=(given,))


def absolute(program: Program, x: Symbol) -> Symbol:
    return program.apply("absolute", x)


def softsign(program: Program, x: Symbol) -> Symbol:
    """x / (1 + |x|)."""
    return divide(program, x, absolute(program, x).mapped(None, 1.0))


def clip(program: Program, x: Symbol, low: Any, high: Any) -> Symbol:
    """Limits, each a number or one an element; those of limits become one pair. Those that are a
    relu's become one when it is known that they are not the action's (`policy.onnx_file.lowering`).

    Raises:
        SymbolError: a limit that is NaN, or of another shape.
    """
    if np.isnan(low).any() or np.isnan(high).any():
        raise SymbolError("a limit is NaN")
    low, high = _spread(low, x), _spread(high, x)
    inner = program.made_by(x, "clip") if x.is_plain else None
    if inner is not None:
        (x,) = inner.operands
        limits = [_spread(limit, x) for limit in inner.parameters]
        low, high = (np.minimum(np.maximum(limit, low), high) for limit in limits)
    if (low <= LOWEST).all() and (high >= GREATEST).all():
        return x
    return program.apply("clip", x, parameters=(_one(low), _one(high)))


def choose(program: Program, condition: Symbol, first: Symbol, second: Symbol) -> Symbol:
    """Where(condition, first, second)."""
    c, a, b = broadcast([condition, first, second], MAX_ELEMENTS)
    if c.constant.all():
        return _picked(c.offset != 0, a, b)
    if program.made_by(c, "step") is not None and bool(np.all((c.scale == -1) & (c.total == 1))):
        c, a, b = c.mapped(-1.0, 1.0), b, a  # not (d > 0)
    made = program.made_by(c, "step") if c.is_plain else None
    if made is None:
        return program.apply("choice", c, a, b)
    (d,) = made.operands
    for spelling in (_pieces, _bent_softplus, _elu):
        found = spelling(program, d, a, b)
        if found is not None:
            return found
    return program.apply("choice", c, a, b)


def logarithm(program: Program, x: Symbol) -> Symbol:
    """log(x); of 1 + exp(z) or sigmoid(z) by softplus, which neither overflows nor comes to
    log(0)."""
    gate = program.made_by(x, "sigmoid") if x.is_plain else None
    if gate is not None:
        return program.apply("softplus", gate.operands[0].scaled(-1.0)).scaled(-1.0)
    found = _one_plus_exponential(program, x)
    if found is None:
        return program.apply("logarithm", x)
    scale, z = found
    if (scale <= 0).any():
        return program.apply("logarithm", x)
    return program.apply("softplus", z).mapped(None, np.log(scale))


def power(program: Program, x: Symbol, exponent: float) -> Symbol | None:
    """x to a power that takes few operations; None for others."""
    simple: dict[float, Callable[[], Symbol]] = {
        0.0: lambda: constants(np.ones(x.shape)),
        1.0: lambda: x,
        2.0: lambda: multiply(program, x, x),
        3.0: lambda: multiply(program, multiply(program, x, x), x),
        4.0: lambda: multiply(program, *[multiply(program, x, x)] * 2),
        0.5: lambda: program.apply("square_root", x),
        -0.5: lambda: program.apply("reciprocal", program.apply("square_root", x)),
        -1.0: lambda: program.apply("reciprocal", x),
        -2.0: lambda: program.apply("reciprocal", multiply(program, x, x)),
    }
    return simple[exponent]() if exponent in simple else None


def _merged(a: Symbol, b: Symbol) -> Symbol:
    """Return a + b, where each element depends on one atom at most."""
    alone_a, alone_b = b.constant, a.constant
    scale, offset = a.scale + b.scale, a.total + b.total
    shift = np.zeros(a.shape)
    for alone, one, other in ((alone_a, a, b), (alone_b, b, a)):
        shift = np.where(alone, one.shift, shift)
        offset = np.where(alone, one.offset + other.offset, offset)
    gone = scale == 0
    atom = np.where(gone, NOTHING, np.maximum(a.atom, b.atom))
    return Symbol(atom, scale, np.where(gone, 0.0, shift), offset, batch=a.batch)


def _picked(first: Any, a: Symbol, b: Symbol) -> Symbol:
    pairs = zip(a.arrays, b.arrays, strict=True)
    return of_arrays((np.where(first, one, other) for one, other in pairs), a.kind, a.batch)


def _spread(limit: Any, x: Symbol) -> Float64:
    try:
        return np.asarray(np.broadcast_to(limit, x.shape), np.float64)
    except ValueError:
        raise SymbolError(
            f"limits of the shape {list(np.shape(limit))} for values of {list(x.shape)}"
        ) from None


def _one(values: Float64) -> float | Float64:
    """Return one number if all are the same."""
    found = np.unique(values)
    return float(found[0]) if found.size == 1 else values


def _same(values: Any) -> float | None:
    found = np.unique(values)
    return float(found[0]) if found.size == 1 else None


def _half_absolute(program: Program, x: Symbol, size: Symbol) -> Symbol | None:
    """Recognise (x + |x|) / 2, which is relu(x)."""
    made = program.made_by(size, "absolute")
    k = ratio(x, made.operands[0]) if made else None
    if made is None or k is None or (size.total != 0).any():
        return None
    for sign in (1.0, -1.0):
        if close(sign * k, size.scale).all():
            return relu(program, made.operands[0].scaled(sign)).scaled(2 * size.scale)
    return None


def _stable_softplus(program: Program, positive: Symbol, rest: Symbol) -> Symbol | None:
    """Recognise max(z, 0) + softplus(-|z|), which is softplus(z)."""
    above, below = program.made_by(positive, "clip", "relu"), program.made_by(rest, "softplus")
    if (
        above is None
        or below is None
        or above.parameters not in ((), (0.0, NO_LIMIT))
        or not close(positive.scale, rest.scale).all()
    ):
        return None
    size = program.made_by(below.operands[0], "absolute")
    if size is None or (below.operands[0].total != 0).any() or (positive.total != 0).any():
        return None
    z, inner = above.operands[0], size.operands[0]
    k = ratio(inner, z)
    if k is None or not close(np.abs(k) * below.operands[0].scale, -1.0).all():
        return None
    return program.apply("softplus", z).mapped(positive.scale, rest.total)


def _one_plus_exponential(program: Program, x: Symbol) -> tuple[Float64, Symbol] | None:
    """Return (s, z) such that x = s (1 + exp(z))."""
    made = program.made_by(x, "exponential")
    if made is None or not close(x.scale, x.total).all():
        return None
    return x.scale, made.operands[0]


def _pieces(program: Program, d: Symbol, a: Symbol, b: Symbol) -> Symbol | None:
    """Recognise d > 0 ? a : b where a - b is k d, which is the greater of a and b, or the
    smaller."""
    atoms = np.maximum(a.atom, b.atom)
    if d.constant.any() or not np.array_equal(atoms, d.atom):
        return None
    for side in (a, b):
        if not (side.constant | (side.atom == d.atom)).all():
            return None
    k = (a.scale - b.scale) / d.scale
    size = np.maximum(np.abs(a.total), np.abs(b.total))
    if (np.abs(a.total - b.total - k * d.total) > SAME * size).any() or (k == 0).any():
        return None
    if (k > 0).all():
        return maximum(program, a, b)
    return minimum(program, a, b) if (k < 0).all() else None


def _bent_softplus(program: Program, d: Symbol, a: Symbol, b: Symbol) -> Symbol | None:
    """Recognise torch's softplus, which equals its argument beyond a threshold, where float32 sees
    no difference."""
    made = program.made_by(b, "softplus")
    if made is None or (b.total != 0).any():
        return None
    z = made.operands[0]
    if ratio(a, z) is None or not close(a.scale, b.scale * z.scale).all():
        return None
    if not np.array_equal(d.atom, z.atom) or (d.scale / z.scale <= 0).any():
        return None
    threshold = z.total - d.total * z.scale / d.scale  # z where d is 0
    return b if (threshold >= SATURATED).all() else None


def _elu(program: Program, d: Symbol, a: Symbol, b: Symbol) -> Symbol | None:
    """Recognise x > 0 ? s x : s alpha (exp(x) - 1), where exp may be of min(x, 0) instead of x."""
    made = program.made_by(b, "exponential")
    if made is None or not close(b.scale, -b.total).all():
        return None
    inner = made.operands[0]
    limited = program.made_by(inner, "clip") if inner.is_plain else None
    if limited is not None and limited.parameters[1] == 0.0 and limited.parameters[0] == -NO_LIMIT:
        inner = limited.operands[0]
    switched, scale = ratio(d, inner), ratio(a, inner)
    if switched is None or scale is None or (switched <= 0).any():
        return None
    alpha = _same(b.scale / scale)
    if alpha is None:
        return None
    return program.apply("elu", inner, parameters=(alpha,)).scaled(scale)
