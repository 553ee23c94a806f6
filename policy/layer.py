"""One layer of a policy: weights, biases and activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import ACTIVATIONS, Activation, Float32, Float64
from sparsectl.policy.convolution import Convolution

MAX_LAYERS = 256
MAX_WIDTH = 16_384
"""The most neurons per layer: their values alone take 64 KB of RAM, as much as most chips have. A
16-bit index can address each."""


MIXED = "mixed"
"""The name of the activation if a layer has several; its segments say which."""


@dataclass(frozen=True)
class Segment:
    """A run of a layer's neurons, and the activation of their sums.

    parameters are the activation's (alpha, limits), rounded to float32; by default its defaults.
    """

    neurons: int
    activation: str = "identity"
    parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise UserError(
                f"activation {self.activation!r} is not known; use one of {', '.join(ACTIVATIONS)}"
            )
        operands = ACTIVATIONS[self.activation].operands
        if self.neurons < 1 or self.neurons % operands:
            raise UserError(
                f"activation {self.activation!r} over {self.neurons} neurons; give {operands}, or "
                "a multiple of that"
            )
        object.__setattr__(self, "parameters", self._parameters())

    def _parameters(self) -> tuple[float, ...]:
        wanted = ACTIVATIONS[self.activation].parameters
        given = self.parameters or [default for _, default in wanted]
        with np.errstate(over="ignore"):
            values = tuple(float(np.float32(value)) + 0.0 for value in given)
        if len(values) != len(wanted) or not all(map(math.isfinite, values)):
            names = ", ".join(name for name, _ in wanted) or "none"
            raise UserError(
                f"activation {self.activation!r} has the parameters {list(self.parameters)[:9]}; "
                f"give finite numbers for: {names}"
            )
        return values

    @property
    def results(self) -> int:
        """Number of values after the activation."""
        return ACTIVATIONS[self.activation].results(self.neurons)

    @property
    def operands(self) -> int:
        """Number of runs of neurons that a run of results is made from."""
        return ACTIVATIONS[self.activation].operands

    @property
    def is_elementwise(self) -> bool:
        """Return whether each neuron's result depends on its own sum alone."""
        return not ACTIVATIONS[self.activation].needs_whole_layer


@dataclass(frozen=True, eq=False)
class Layer:
    """activation(weight @ x + bias), float32; the arrays are read-only copies.

    weight: [out, in]; bias: [out]; a weight of 0 counts as absent. parameters are the activation's.
    If neurons have several activations, `segments` has a run of neurons for each, in order, and
    `activation` is "mixed": this is how a value is carried past a layer (a neuron with one weight
    of 1 and no activation), and how towers and heads are side by side. The results are in the order
    of the segments.
    """

    weight: Float32
    bias: Float32
    activation: str = "identity"
    parameters: tuple[float, ...] = ()
    segments: tuple[Segment, ...] = ()
    """Empty: all neurons have the same activation."""
    convolution: Convolution | None = None
    """Set if the weights are applied at many places of an image. Then weight is [output channels,
    patch_size] and bias [output channels], a neuron is an output channel at a place, and all have
    one elementwise activation."""

    max_width: ClassVar[int] = MAX_WIDTH
    """The most inputs and neurons. A subclass for layers that run on no chip may have more."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _frozen(self.weight, 2, "weights"))
        object.__setattr__(self, "bias", _frozen(self.bias, 1, "biases"))
        rows, columns = self.weight.shape
        inputs, outputs = self.inputs, self.outputs
        if not (1 <= inputs <= self.max_width and 1 <= outputs <= self.max_width):
            memory = 4 * max(outputs, inputs)
            raise UserError(
                f"a layer of {outputs} x {inputs} weights, whose values take {memory:,} bytes of "
                f"RAM; give 1 to {self.max_width} neurons a layer"
            )
        if self.bias.shape != (rows,):
            raise UserError(f"{self.bias.size} biases for {rows} neurons; give one a neuron")
        self._set_segments(_joined(self.segments))
        if self.convolution is not None:
            self._check_convolution(columns, self.convolution)

    def _check_convolution(self, columns: int, convolution: Convolution) -> None:
        if columns != convolution.patch_size:
            raise UserError(
                f"a kernel of {columns} weights for patches of {convolution.patch_size} values; "
                "make the sizes equal"
            )
        own = ACTIVATIONS.get(self.activation)
        if own is None or own.needs_whole_layer or own.operands != 1:
            raise UserError(
                f"activation {self.activation!r} after a convolution; give one for all its "
                "neurons, of each alone"
            )

    def _set_segments(self, segments: tuple[Segment, ...]) -> None:
        if len(segments) < 2:
            one = segments[0] if segments else self._uniform()
            segments, activation, parameters = (), one.activation, one.parameters
            neurons = one.neurons
        else:
            activation, parameters = MIXED, ()
            neurons = sum(segment.neurons for segment in segments)
        if neurons != self.outputs:
            raise UserError(f"activations of {neurons} neurons for {self.outputs}; give one each")
        object.__setattr__(self, "segments", segments)
        object.__setattr__(self, "activation", activation)
        object.__setattr__(self, "parameters", parameters)

    def _uniform(self) -> Segment:
        return Segment(self.outputs, self.activation, self.parameters)

    @cached_property
    def parts(self) -> tuple[Segment, ...]:
        """The segments; a single one if all neurons have the same activation."""
        return self.segments or (self._uniform(),)

    @property
    def activations(self) -> tuple[str, ...]:
        """The names of the segments' activations, in order."""
        return tuple(segment.activation for segment in self.parts)

    @property
    def inputs(self) -> int:
        return self.convolution.inputs if self.convolution else int(self.weight.shape[1])

    @property
    def outputs(self) -> int:
        places = self.convolution.count if self.convolution else 1
        return places * int(self.weight.shape[0])

    @property
    def widest(self) -> int:
        """The most values that the layer takes, examines or makes for one observation."""
        read = self.convolution.count * self.convolution.patch_size if self.convolution else 0
        return max(self.inputs, self.outputs, read)

    @property
    def results(self) -> int:
        """Number of values after the activations: argmax gives 1, a product 1 for 2, most others
        one per neuron."""
        return sum(segment.results for segment in self.parts)

    @property
    def is_approximate(self) -> bool:
        """Return whether the activation is an approximation, beyond the rounding of sums and
        products."""
        used = [ACTIVATIONS[name] for name in self.activations]
        return any(each.absolute_error > 0 or each.relative_error > 0 for each in used)

    @cached_property
    def kept_weights(self) -> int:
        return int(np.count_nonzero(self.weight))

    @cached_property
    def carrying(self) -> int:
        """Number of neurons that only pass a value on: one weight of 1 and a bias of 0."""
        alone = np.count_nonzero(self.weight, axis=1) == 1
        return int(np.sum(alone & (self.weight == 1).any(axis=1) & (self.bias == 0)))

    def matrix(self) -> Float32:
        """[outputs, inputs]: the weights; for a convolution they are repeated for each place."""
        if self.convolution is None:
            return self.weight
        whole = np.zeros((self.convolution.count, len(self.weight), self.inputs + 1), np.float32)
        for place, index in zip(whole, self.convolution.index, strict=True):
            place[:, index] = self.weight  # what is beyond the edge comes last
        return whole[..., :-1].reshape(self.outputs, self.inputs)

    @cached_property
    def _columns(self) -> list[tuple[int, NDArray[np.intp] | slice, Float32]]:
        """Yield (column, the rows with a weight, those weights [rows, 1]), columns ascending."""
        columns: list[tuple[int, NDArray[np.intp] | slice, Float32]] = []
        for column in range(self.weight.shape[1]):
            weight = self.weight[:, column]
            rows = np.flatnonzero(weight)
            if rows.size == len(weight):
                columns.append((column, slice(None), weight[:, None].copy()))
            elif rows.size:
                columns.append((column, rows, weight[rows, None]))
        return columns

    def forward(self, x: Float32) -> Float32:
        """Return [out, batch] for x [in, batch]. The bias is added first, then the columns in
        ascending order; of a convolution those of the patch."""
        if self.convolution is not None:
            return self.activate(self._convolve(x, self.convolution))
        if x.shape[1] == 1 and np.isfinite(x).all():
            return self.activate(self._sums_of_one(x))
        total = np.repeat(self.bias[:, None], x.shape[1], axis=1)
        for column, rows, weight in self._columns:
            total[rows] += weight * x[column]
        return self.activate(total)

    def _sums_of_one(self, x: Float32) -> Float32:
        """Return the sums of one observation, [in, 1] -> [out, 1], in the same order; a weight of 0
        adds 0, as x is finite."""
        terms = np.empty((len(self.bias), x.shape[0] + 1), np.float32)
        terms[:, 0] = self.bias
        np.multiply(self.weight, x[:, 0], out=terms[:, 1:])
        return np.add.accumulate(terms, axis=1, dtype=np.float32)[:, -1:]

    def _convolve(self, x: Float32, convolution: Convolution) -> Float32:
        padded = np.concatenate([x, np.zeros((1, x.shape[1]), np.float32)])
        total = np.empty((convolution.count, len(self.bias), x.shape[1]), np.float32)
        total[:] = self.bias[:, None]
        for column, rows, weight in self._columns:
            total[:, rows] += weight * padded[convolution.index[:, column], None]
        return total.reshape(-1, x.shape[1])

    def sums(self, x: Float64, weight: Float64 | None = None, bias: Any = None) -> Float64:
        """[batch, in] -> [batch, out] in float64: the sums before the activation, in no particular
        order.

        weight, bias: used instead of the layer's own, with the same shapes.
        """
        weight = self.weight.astype(np.float64) if weight is None else weight
        bias = self.bias if bias is None else bias
        if self.convolution is None:
            return np.asarray(x @ weight.T + bias, np.float64)
        found = self.convolution.patches(x) @ weight.T + bias
        return np.asarray(found.reshape(len(x), -1), np.float64)

    @cached_property
    def result_of(self) -> NDArray[np.intp]:
        """[out]: the index of each neuron's result among the layer's; -1 if a result depends on
        several neurons."""
        places, start = [], 0
        for segment in self.parts:
            own = start + np.arange(segment.neurons)
            places.append(own if segment.is_elementwise else np.full(segment.neurons, -1))
            start += segment.results
        return np.concatenate(places)

    def neurons(self, kept: NDArray[np.bool_]) -> Layer:
        """Return the layer with only the neurons in `kept`, [out]; all neurons of a result that
        depends on several must be among them."""
        segments, start = [], 0
        for segment in self.parts:
            count = int(np.count_nonzero(kept[start : start + segment.neurons]))
            segments += [replace(segment, neurons=count)] if count else []
            start += segment.neurons
        return type(self)(self.weight[kept], self.bias[kept], segments=tuple(segments))

    @np.errstate(all="ignore")  # the C overflows as silently; what counts is looked at later
    def activate(self, x: Float32) -> Float32:
        """Apply the activations as the C does; neurons along axis 0."""
        found: Float32 = self._each(lambda activation: activation.forward, x)
        return found

    @np.errstate(all="ignore")
    def activate_exact(self, x: Float64) -> Float64:
        """Apply the activations in float64; neurons along axis 0."""
        found: Float64 = self._each(lambda activation: activation.exact, x)
        return found

    @np.errstate(all="ignore")
    def activation_rounding(self, x: Float64, error: Float64) -> Float64:
        """Return how far `activate` may be off if x may be off by `error`; neurons along axis 0."""
        found: Float64 = self._each(lambda activation: activation.rounding, x, error)
        return found

    def _each(self, function: Callable[[Activation], Callable[..., Any]], *given: Any) -> Any:
        """Apply a function of each segment's activation to its neurons."""
        parts = zip(self.parts, *(self._split(values) for values in given), strict=True)
        with np.errstate(all="ignore"):  # what overflows is looked at where it comes out
            done = [
                function(ACTIVATIONS[segment.activation])(*own, *segment.parameters)
                for segment, *own in parts
            ]
        return done[0] if len(done) == 1 else np.concatenate(done)

    def _split(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        if not self.segments:
            return [values]
        ends = np.cumsum([segment.neurons for segment in self.segments])[:-1]
        return np.split(values, ends)


def _joined(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Join neighbouring segments with the same elementwise activation."""
    joined: list[Segment] = []
    for segment in segments:
        last = joined[-1] if joined else None
        same = (
            last is not None
            and segment.is_elementwise
            and (last.activation, last.parameters) == (segment.activation, segment.parameters)
        )
        if last is not None and same:
            joined[-1] = replace(last, neurons=last.neurons + segment.neurons)
        else:
            joined.append(segment)
    return tuple(joined)


def _frozen(values: ArrayLike, dimensions: int, what: str) -> Float32:
    """Return a read-only float32 copy in which -0 is 0, so that equal controllers have equal
    bytes."""
    with np.errstate(over="ignore"):
        array: Float32 = np.array(values, dtype=np.float32, order="C")
    if array.ndim != dimensions:
        raise UserError(f"{what} of shape {list(array.shape)}; give {dimensions} dimensions")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = ", ".join(str(i) for i in bad[0])
        raise UserError(
            f"{len(bad)} of the {what} are not finite (the first: {array[tuple(bad[0])]} at "
            f"[{place}]); train again or load an earlier checkpoint"
        )
    array += np.float32(0)
    array.flags.writeable = False
    return array
