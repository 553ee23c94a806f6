"""What is known of a value on its way through an ONNX file, and what may happen to it there.

What cannot happen to it is a StreamError; the node where it happens is named by who catches it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.export.activations import ACTIVATIONS, Float64
from sparsectl.export.activations.clip import GREATEST, LOWEST
from sparsectl.export.graph import MAX_LAYERS, MAX_WIDTH, Layer
from sparsectl.export.onnx_tensors import Array

VECTOR, ROWS, COLUMNS, BLOCK, BATCH = "vector", "rows", "columns", "block", "batch"
STACKED = "stacked"

Spend = Callable[[int, str], None]
"""Takes a number of array elements from what one file may hold; raises UserError."""


class StreamError(Exception):
    """Why something cannot happen to a stream."""


@dataclass(frozen=True, eq=False)
class Stream:
    """The value that comes from the observation: layers, some of their results, an affine map,
    limits: clip(scale * layers(observation)[picked] + offset, low, high)."""

    width: int | None
    """Numbers an observation has here; None until a layer or constant tells."""
    layout: str
    """[width], [batch, width], [width, batch], [batch, *block], [batch] (width 1), or [batch *
    width, 1] (skl2onnx's regressors, as the output only)."""
    layers: tuple[Layer, ...] = ()
    is_open: bool = False
    """Whether the last layer may still take an activation."""
    has_bias: bool = True
    picked: NDArray[np.intp] | None = None
    """[width] indices of the layers' results; None: all, in order."""
    source: int | None = None
    """Numbers that the observation has, where `picked` says so."""
    scale: Float64 | None = None
    offset: Float64 | None = None
    low: Float64 | None = None
    high: Float64 | None = None
    block: tuple[int, ...] = ()
    is_single: bool = False
    """Whether the batch is known to be 1."""

    @property
    def is_clipped(self) -> bool:
        return self.low is not None or self.high is not None

    @property
    def is_bare(self) -> bool:
        return self.scale is None and self.offset is None and not self.is_clipped

    def same_core(self, other: Stream) -> bool:
        """Whether both are the same results of the same layers, whatever the maps after them."""
        return (
            self.layers is other.layers
            and self.picked is other.picked
            and self.layout == other.layout
        )


@dataclass(frozen=True, eq=False)
class Shared:
    """A number of each observation, the same beside all neurons: the log of a sum of them."""


@dataclass(frozen=True, eq=False)
class Shifted:
    """A stream plus a number that is the same for all neurons: what softmax and argmax ignore."""

    stream: Stream


Operand = Stream | Shifted | Shared | Array | None


def append_layer(stream: Stream, weight: Array, bias: Array | None, spend: Spend) -> Stream:
    """weight [out, in], bias [out] or None; what came after the last layer is folded in."""
    if stream.is_clipped:
        stream = _close_limits(stream, spend)
    if stream.layers and ACTIVATIONS[stream.layers[-1].activation].needs_whole_layer:
        raise StreamError(f"{stream.layers[-1].activation} is only possible after the last layer")
    if len(stream.layers) >= MAX_LAYERS:
        raise StreamError(f"it is one of more than {MAX_LAYERS} layers")
    if stream.width not in (None, weight.shape[1]):
        raise StreamError(f"its weights take {weight.shape[1]} values but {stream.width} come in")
    total = np.zeros(weight.shape[0]) if bias is None else bias
    if stream.offset is not None:
        total = total + weight @ spread(stream.offset, weight.shape[1])
    if stream.scale is not None:
        weight = weight * stream.scale
    weight = _onto_all(weight, stream, spend)
    layer = _layer(weight, total, "identity", (), spend)
    return Stream(
        width=layer.outputs,
        layout=stream.layout,
        layers=(*stream.layers, layer),
        is_open=True,
        has_bias=bias is not None,
        is_single=stream.is_single,
    )


def apply_affine(stream: Stream, scale: Float64 | None, offset: Float64 | None) -> Stream:
    """scale * value + offset, each [width] or [1]; None is nothing to do."""
    for vector in (scale, offset):
        if vector is not None and not np.isfinite(vector).all():
            raise StreamError("a constant is NaN or infinite, or a division is by 0")
        if stream.width is None and vector is not None and vector.size > 1:
            stream = replace(stream, width=vector.size)
    is_bias = stream.is_open and not stream.has_bias and stream.is_bare and stream.picked is None
    if is_bias and scale is None and offset is not None:
        return _with_bias(stream, offset)

    def through(value: Float64 | None) -> Float64 | None:
        if value is not None and scale is not None:
            value = value * scale
        return value if offset is None or value is None else value + offset

    low, high = through(stream.low), through(stream.high)
    if scale is not None and (scale < 0).any() and stream.is_clipped:
        low, high = _turned(low, high, scale)
    return replace(
        stream,
        scale=_product(stream.scale, scale),
        offset=through(stream.offset) if stream.offset is not None else offset,
        low=low,
        high=high,
    )


def _turned(
    low: Float64 | None, high: Float64 | None, scale: Float64
) -> tuple[Float64 | None, Float64 | None]:
    """Limits after a scale: those of negative scales change places."""
    a = -math.inf * np.sign(scale) if low is None else low
    b = math.inf * np.sign(scale) if high is None else high
    return np.where(scale < 0, b, a), np.where(scale < 0, a, b)


def apply_limits(stream: Stream, low: Float64 | None, high: Float64 | None) -> Stream:
    """Clip to [low, high], each [width] or [1]; limits in a row become one pair."""
    if any(limit is not None and np.isnan(limit).any() for limit in (low, high)):
        raise StreamError("a limit is NaN")

    def limited(value: Float64) -> Float64:
        value = value if low is None else np.maximum(value, low)
        return value if high is None else np.minimum(value, high)

    return replace(
        stream,
        low=low if stream.low is None else limited(stream.low),
        high=high if stream.high is None else limited(stream.high),
    )


def activate(
    stream: Stream, activation: str, parameters: tuple[float, ...], spend: Spend
) -> Stream:
    """Close the last layer with its activation, the affine map after the layer folded in; where
    there is no such layer, one that only maps comes between."""
    if stream.is_clipped:
        stream = _close_limits(stream, spend)
    if not stream.is_open:
        if stream.width is None:
            raise StreamError("nothing before it says how many values an observation has")
        spend(stream.width**2, "a layer")
        stream = append_layer(stream, np.eye(stream.width), None, spend)
    last = stream.layers[-1]
    weight, bias = last.weight.astype(np.float64), last.bias.astype(np.float64)
    if stream.picked is not None:
        weight, bias = weight[stream.picked], bias[stream.picked]
    if stream.scale is not None:
        weight, bias = weight * stream.scale[:, None], bias * stream.scale
    if stream.offset is not None:
        bias = bias + stream.offset
    layer = _layer(weight, bias, activation, parameters, spend)
    layers = (*stream.layers[:-1], layer)
    return Stream(layer.results, stream.layout, layers, is_single=stream.is_single)


def pick(stream: Stream, indices: NDArray[np.intp], layout: str) -> Stream:
    """Some of the values, in the order of `indices`, from 0."""
    if stream.width is None:
        raise StreamError("nothing before it says how many values an observation has")
    if not 1 <= indices.size <= MAX_WIDTH:
        raise StreamError(f"it takes {indices.size} values")
    before = np.arange(stream.width) if stream.picked is None else stream.picked

    def some(vector: Float64 | None) -> Float64 | None:
        return vector if vector is None or vector.size == 1 else vector[indices]

    return replace(
        stream,
        width=indices.size,
        layout=layout,
        picked=before[indices],
        source=stream.width if stream.source is None else stream.source,
        scale=some(stream.scale),
        offset=some(stream.offset),
        low=some(stream.low),
        high=some(stream.high),
        block=(),
    )


def join(streams: list[Stream]) -> Stream:
    """Values of the same layers one after the other."""
    first = streams[0]
    if any(s.layers is not first.layers or s.layout != first.layout for s in streams):
        raise StreamError("it joins values of different layers")
    widths = [s.width for s in streams]
    known = [width for width in widths if width is not None]
    if len(known) < len(widths) or sum(known) > MAX_WIDTH:
        raise StreamError(f"it joins {len(widths)} values of unknown or too many numbers")
    whole = [pick(s, np.arange(s.width or 0), s.layout) for s in streams]

    def joined(name: str, otherwise: float) -> Float64 | None:
        vectors = [getattr(s, name) for s in streams]
        if all(vector is None for vector in vectors):
            return None
        full = [np.array([otherwise]) if vector is None else vector for vector in vectors]
        parts = [spread(vector, width) for vector, width in zip(full, known, strict=True)]
        return np.concatenate(parts)

    return replace(
        whole[0],
        width=sum(known),
        picked=np.concatenate([s.picked for s in whole if s.picked is not None]),
        scale=joined("scale", 1.0),
        offset=joined("offset", 0.0),
        low=joined("low", -math.inf),
        high=joined("high", math.inf),
    )


def finished(stream: Stream, spend: Spend) -> Stream:
    """The stream as it leaves the model: what was picked of the last layer is all that it gives."""
    if stream.picked is None or not stream.layers:
        return stream
    last = stream.layers[-1]
    if ACTIVATIONS[last.activation].needs_whole_layer:
        if np.array_equal(stream.picked, np.arange(last.results)):
            return replace(stream, picked=None)
        raise StreamError(f"it takes some of the results of {last.activation}")
    picked = stream.picked
    layer = _layer(last.weight[picked], last.bias[picked], last.activation, last.parameters, spend)
    return replace(stream, layers=(*stream.layers[:-1], layer), picked=None)


def spread(vector: Float64, width: int) -> Float64:
    return np.broadcast_to(vector, (width,))


def along(stream: Stream, constant: Array) -> Float64:
    """A constant that meets the stream elementwise, as [width] or [1] float64."""
    shape = constant.shape
    if constant.size == 0:
        raise StreamError("a constant of no numbers meets the observation")
    if constant.size == 1:
        return constant.astype(np.float64).reshape(-1)
    if stream.layout == BLOCK and len(shape) <= len(stream.block) + 1:
        return _along_block(stream, constant)
    if len(shape) > 2 or stream.layout == BLOCK:
        raise StreamError(f"a constant of shape {list(shape)} meets the observation")
    place = -2 if stream.layout == COLUMNS else -1
    length = shape[place] if len(shape) >= -place else 0
    if constant.size != length or stream.width not in (None, length):
        raise StreamError(f"a constant of shape {list(shape)} meets {stream.width} values")
    return constant.astype(np.float64).reshape(-1)


def _along_block(stream: Stream, constant: Array) -> Float64:
    try:
        full = np.broadcast_to(constant, (1, *stream.block))
    except ValueError:
        shapes = f"{list(constant.shape)} meets {list(stream.block)}"
        raise StreamError(f"a constant of shape {shapes}") from None
    return full.astype(np.float64).reshape(-1)


def _close_limits(stream: Stream, spend: Spend) -> Stream:
    """Limits that are not the last thing become an activation, the same for all neurons."""
    limits = []
    for limit, none in ((stream.low, LOWEST), (stream.high, GREATEST)):
        values = np.unique(np.array([none]) if limit is None else np.clip(limit, LOWEST, GREATEST))
        if values.size != 1:
            raise StreamError("limits (Clip) that differ are only possible after the last layer")
        limits.append(float(values[0]))
    return activate(replace(stream, low=None, high=None), "clip", tuple(limits), spend)


def _onto_all(weight: Array, stream: Stream, spend: Spend) -> Array:
    """Weights of the picked values as weights of all the results there are."""
    if stream.picked is None:
        return weight
    everything = stream.layers[-1].results if stream.layers else stream.source
    spend(weight.shape[0] * (everything or 0), "a layer")
    full = np.zeros((everything or 0, weight.shape[0]))
    np.add.at(full, stream.picked, weight.T)
    return full.T


def _with_bias(stream: Stream, bias: Float64) -> Stream:
    last = stream.layers[-1]
    with np.errstate(over="ignore"):
        rounded = (last.bias + spread(bias, last.outputs)).astype(np.float32)
    try:
        layer = replace(last, bias=rounded)
    except UserError as error:
        raise StreamError(str(error)) from error
    return replace(stream, layers=(*stream.layers[:-1], layer), has_bias=True)


def _layer(
    weight: Array, bias: Array, activation: str, parameters: tuple[float, ...], spend: Spend
) -> Layer:
    spend(weight.size, "a layer")
    try:
        return Layer(weight, bias, activation, parameters)
    except UserError as error:
        raise StreamError(str(error)) from error


def _product(first: Float64 | None, second: Float64 | None) -> Float64 | None:
    if first is None or second is None:
        return second if first is None else first
    return first * second
