"""Activations that exporters write as several nodes: x sigmoid(x), x (1 + erf(x / sqrt 2)) / 2, ….

There are as many spellings as exporters, so the nodes are not compared with patterns: the function
of one number that they make together is evaluated at some points and compared with each activation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.activations import ACTIVATIONS, Float64
from sparsectl.export.onnx_stream import Spend, Stream, StreamError, activate, apply_affine

_FAR = np.array([10.0, 12, 15, 19, 21, 30, 60])
POINTS = np.concatenate([np.linspace(-8, 8, 81), np.linspace(-1, 1, 21) + 0.013, _FAR, -_FAR])
TOLERANCE = 1e-6
"""Relative: constants in a file are float32; gelu's two forms differ by 5e-4."""
CANDIDATES = ("identity", "sigmoid", "silu", "gelu", "gelu_tanh", "softplus", "tanh", "elu", "relu")

_MOST_MAPS = 8

Map = tuple[float, float]
"""scale * x + offset, before the activation."""


@dataclass(frozen=True, eq=False)
class Curve:
    """An elementwise function of a stream, not yet known as an activation."""

    base: Stream
    values: Float64
    """The function at POINTS."""
    maps: tuple[Map, ...]
    """Maps of the base that the nodes have: the activation may be of any of them."""
    label: str
    """The last node of it."""


def curve_of(value: Stream | Curve, label: str) -> Curve:
    """A stream as a function of its layers' results, where one map serves all neurons."""
    if isinstance(value, Curve):
        return replace(value, label=label)
    vectors = [v for v in (value.scale, value.offset) if v is not None]
    if value.is_clipped or any(v.size > 1 for v in vectors):
        return Curve(value, POINTS, ((1.0, 0.0),), label)
    scale = 1.0 if value.scale is None else float(value.scale[0])
    offset = 0.0 if value.offset is None else float(value.offset[0])
    bare = replace(value, scale=None, offset=None)
    return Curve(bare, POINTS * scale + offset, ((scale, offset),), label)


def through(curve: Curve, function: Callable[[Float64], Float64], *maps: Map) -> Curve:
    """function(curve)."""
    with np.errstate(all="ignore"):
        values = np.asarray(function(curve.values), np.float64)
    return replace(curve, values=values, maps=_together(curve.maps, maps))


def together(
    first: Curve, second: Curve, function: Callable[[Float64, Float64], Float64], label: str
) -> Curve:
    """function(first, second), of the same stream.

    Raises:
        StreamError: they are of different streams.
    """
    a, b = first.base, second.base
    if a is not b and not (a.same_core(b) and a.is_bare and b.is_bare):
        raise StreamError("it joins two values that both come from the observation")
    with np.errstate(all="ignore"):
        values = np.asarray(function(first.values, second.values), np.float64)
    return Curve(a, values, _together(first.maps, second.maps), label)


def chosen(where: Curve, first: Curve, second: Curve, label: str) -> Curve:
    """first where `where` is not 0, second elsewhere: torch's softplus beyond its threshold.

    Raises:
        StreamError: they are of different streams.
    """
    both = together(first, second, lambda a, b: a, label)
    whole = together(where, both, lambda a, b: b, label)
    return replace(whole, values=np.where(where.values != 0, first.values, second.values))


def known_as(curve: Curve, spend: Spend) -> Stream:
    """The stream after the activation that the curve is.

    Raises:
        UserError: it is none; the last node of the curve is named.
    """
    try:
        for scale, offset in ((1.0, 0.0), *curve.maps):
            for name in CANDIDATES:
                found = _outer_map(curve.values, name, POINTS * scale + offset)
                if found is not None:
                    return _stream(curve, name, (scale, offset), found, spend)
    except StreamError as error:
        raise UserError(f"{curve.label} cannot be exported: {error}") from error
    raise UserError(
        f"{curve.label} cannot be exported: what the nodes up to it compute together is none of "
        f"{', '.join(CANDIDATES[1:])}; give a plain MLP with one of these"
    )


def settled(value: Stream | Curve, spend: Spend) -> Stream | Curve:
    """The stream that a curve is, if it is an activation already: what follows is of that."""
    if isinstance(value, Stream):
        return value
    try:
        return known_as(value, spend)
    except UserError:
        return value


def _stream(curve: Curve, name: str, inner: Map, outer: Map, spend: Spend) -> Stream:
    stream = _mapped(curve.base, inner)
    if name != "identity":
        stream = activate(stream, name, (), spend)
    return _mapped(stream, outer)


def _mapped(stream: Stream, affine: Map) -> Stream:
    scale, offset = affine
    return apply_affine(
        stream,
        None if scale == 1 else np.array([scale]),
        None if offset == 0 else np.array([offset]),
    )


def _outer_map(values: Float64, name: str, x: Float64) -> Map | None:
    """(a, b) with values = a * activation(x) + b at all points, if there is one."""
    exact = ACTIVATIONS[name].exact
    defaults = [default for _, default in ACTIVATIONS[name].parameters]
    with np.errstate(all="ignore"):
        wanted = exact(x, *defaults)
    if not np.isfinite(values).all():
        return None
    low, high = int(np.argmin(wanted)), int(np.argmax(wanted))
    span = wanted[high] - wanted[low]
    scale = (values[high] - values[low]) / span if span > 0 else 0.0
    offset = values[low] - scale * wanted[low]
    allowed = TOLERANCE * (np.abs(values) + abs(scale))
    if scale == 0 or (np.abs(scale * wanted + offset - values) > allowed).any():
        return None
    return _exactly(scale, 1.0, 1.0), _exactly(offset, 0.0, abs(scale))


def _exactly(value: float, wanted: float, size: float) -> float:
    return wanted if abs(value - wanted) <= TOLERANCE * size else float(value)


def _together(first: tuple[Map, ...], second: tuple[Map, ...]) -> tuple[Map, ...]:
    return tuple(dict.fromkeys((*first, *second)))[:_MOST_MAPS]
