"""What an ONNX file computes for one observation, as steps; made by reading it, lowered to layers.

A step makes some numbers, "atoms", of symbols of earlier atoms. Atoms are counted through.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sparsectl.policy.activations import ACTIVATIONS, Float64
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.onnx_file.symbol import (
    NOTHING,
    Symbol,
    SymbolError,
    broadcast,
    constants,
    of_arrays,
)
from sparsectl.policy.onnx_file.tensors import Array

Spend = Callable[[int, str], None]
"""Takes a number of array elements from what one file may hold; raises UserError."""

MAX_ELEMENTS = 1_000_000
"""Most elements of one symbol."""

Parameter = float | Float64
"""A function's parameter: one number, or one per element."""


@dataclass(frozen=True, eq=False)
class Step:
    """Makes the atoms `first` to `first + count - 1`."""

    first: int
    count: int


@dataclass(frozen=True, eq=False)
class Observe(Step):
    """The observation."""


@dataclass(frozen=True, eq=False)
class Dense(Step):
    """weight @ inputs + bias."""

    inputs: Symbol
    """[in]."""
    weight: Array
    """[count, in]."""
    bias: Float64 | None


@dataclass(frozen=True, eq=False)
class Convolve(Step):
    """A kernel at each place of an image; the atoms are those of the places one after another, of
    each all output channels."""

    inputs: Symbol
    """[inputs], channel by channel."""
    geometry: Convolution
    weight: Array
    """[output channels, patch_size]."""
    bias: Float64

    def terms_of(self, atom: int) -> tuple[NDArray[np.intp], Float64, float]:
        """Return, for one atom, which of the inputs it reads, their weights, and the bias."""
        place, channel = divmod(atom - self.first, len(self.weight))
        index = self.geometry.index[place]
        inside = index >= 0
        return index[inside], self.weight[channel][inside], float(self.bias[channel])


@dataclass(frozen=True, eq=False)
class Total(Step):
    """Sums: of `terms` along their last dimension."""

    terms: Symbol
    """[count, terms]."""


@dataclass(frozen=True, eq=False)
class Function(Step):
    """An activation of policy.activations."""

    name: str
    inputs: Symbol
    """[operands, results] where an element's result depends on its own operands, else [1, in]."""
    parameters: tuple[Parameter, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Return whether each result depends on all the inputs."""
        activation = ACTIVATIONS[self.name]
        return activation.needs_whole_layer and activation.operands == 1


@dataclass(frozen=True, eq=False)
class Made:
    """Records how the atoms of a symbol were made: by a function, of operands in the symbol's
    shape."""

    name: str
    operands: list[Symbol]
    parameters: tuple[Parameter, ...]


@dataclass
class Program:
    """The steps so far."""

    spend: Spend
    steps: list[Step] = field(default_factory=list)
    atoms: int = 0
    _firsts: list[int] = field(default_factory=list)

    def observe(self, shape: tuple[int, ...], batch: int | None) -> Symbol:
        count = int(np.prod(shape))
        self.steps.append(Observe(self._next(count), count))
        return self._made(self.steps[-1], shape, batch)

    def dense(self, inputs: Symbol, weight: Array, bias: Float64 | None) -> Symbol:
        """Add a layer, weight [out, in] and bias [out] or None, and return its results as a
        vector."""
        if inputs.shape != (weight.shape[1],):
            raise SymbolError(
                f"its weights take {weight.shape[1]} values but {inputs.size} come in"
            )
        self.spend(weight.size, "a layer")
        step = Dense(self._next(len(weight)), len(weight), inputs, weight, bias)
        self.steps.append(step)
        return self._made(step, (step.count,), None)

    def convolve(
        self, image: Symbol, geometry: Convolution, weight: Array, bias: Float64 | None
    ) -> Symbol:
        """Add a convolution of an image [channels, height, width] by weight [output channels,
        patch_size] and bias [output channels] or None; return [output channels, rows, columns]. At
        a single place it is an ordinary layer of weights."""
        flat, outputs = image.flat(), len(weight)
        if geometry.count == 1:
            inside = geometry.index[0] >= 0
            found = self.dense(flat.part(geometry.index[0][inside]), weight[:, inside], bias)
            return found.moved(lambda array: array.reshape(outputs, 1, 1))
        count = geometry.count * outputs
        self.spend(weight.size, "a layer")
        known = np.zeros(outputs) if bias is None else bias
        step = Convolve(self._next(count), count, flat, geometry, weight.astype(np.float64), known)
        self.steps.append(step)
        made = self._made(step, (*geometry.places, outputs), None)
        return made.moved(lambda array: np.moveaxis(array, -1, 0))

    def with_bias(self, symbol: Symbol, bias: Symbol) -> Symbol | None:
        """Return a layer's sums with their bias, if `symbol` is the sums of a layer without a bias
        and the other is constants."""
        step = self.owner(symbol)
        if not isinstance(step, Dense) or step.bias is not None or not symbol.is_plain:
            return None
        if not np.array_equal(
            symbol.atom.reshape(-1), np.arange(step.first, step.first + step.count)
        ):
            return None
        if not bias.constant.all():
            return None
        offset = np.broadcast_to(bias.offset, symbol.shape).reshape(-1)
        made = self.dense(step.inputs, step.weight, offset)
        return made.moved(lambda array: array.reshape(symbol.shape), symbol.batch)

    def total(self, terms: Symbol) -> Symbol:
        """Sums of [count, terms] along the terms."""
        self.spend(4 * terms.size, "a sum")
        if terms.shape[1] == 1:
            return terms.moved(lambda array: array[:, 0])
        step = Total(self._next(len(terms.atom)), len(terms.atom), terms)
        self.steps.append(step)
        return self._made(step, (step.count,), None)

    def apply(self, name: str, *operands: Symbol, parameters: tuple[Parameter, ...] = ()) -> Symbol:
        """Apply an activation of one number, or of one of each operand, which broadcast."""
        wide = broadcast(list(operands), MAX_ELEMENTS)
        shape, batch = wide[0].shape, wide[0].batch
        count = wide[0].size
        if count == 0:
            raise SymbolError("it has no values")
        self.spend(4 * count * len(wide), "a value")
        inputs = [value.flat() for value in wide]
        given = tuple(
            p if isinstance(p, float) else np.broadcast_to(p, shape).reshape(-1) for p in parameters
        )
        if all(value.constant.all() for value in inputs):
            return constants(_constant(name, inputs, given).reshape(shape))
        both = of_arrays(map(np.stack, zip(*(value.arrays for value in inputs), strict=True)))
        step = Function(self._next(count), count, name, both, given)
        self.steps.append(step)
        return self._made(step, shape, batch)

    def whole(self, name: str, inputs: Symbol, parameters: tuple[float, ...] = ()) -> Symbol:
        """Apply an activation that reads all of a vector's numbers together."""
        if inputs.size == 0:
            raise SymbolError("it has no values")
        count = ACTIVATIONS[name].results(inputs.size)
        self.spend(4 * inputs.size, "a value")
        row = inputs.moved(lambda array: array.reshape(1, -1))
        step = Function(self._next(count), count, name, row, parameters)
        self.steps.append(step)
        return self._made(step, (count,), None)

    def owner(self, symbol: Symbol) -> Step | None:
        """Return the step that made all of a symbol's atoms; None if several did."""
        if symbol.size == 0:
            return None
        low, high = int(symbol.atom.min()), int(symbol.atom.max())
        if low == NOTHING:
            return None
        step = self.step_of(low)
        return step if high < step.first + step.count else None

    def step_of(self, atom: int) -> Step:
        """Return the step that makes an atom."""
        return self.steps[bisect_right(self._firsts, atom) - 1]

    def made_by(self, symbol: Symbol, *names: str) -> Made | None:
        """Return the function, one of those names, that made all of a symbol's atoms; None if there
        is no such one."""
        step = self.owner(symbol)
        if not isinstance(step, Function) or step.name not in names or step.is_whole:
            return None
        places = symbol.atom - step.first
        operands = [
            of_arrays((array[row][places] for array in step.inputs.arrays), batch=symbol.batch)
            for row in range(len(step.inputs.atom))
        ]
        parameters = tuple(p if isinstance(p, float) else p[places] for p in step.parameters)
        return Made(step.name, operands, parameters)

    def _next(self, count: int) -> int:
        first = self.atoms
        self._firsts.append(first)
        self.atoms += count
        return first

    def _made(self, step: Step, shape: tuple[int, ...], batch: int | None) -> Symbol:
        self.spend(4 * step.count, "a value")
        atom = np.arange(step.first, step.first + step.count, dtype=np.int64).reshape(shape)
        zero = np.zeros(shape)
        return Symbol(atom, np.ones(shape), zero, zero, batch=batch)


def _constant(name: str, inputs: list[Symbol], parameters: tuple[Parameter, ...]) -> Float64:
    with np.errstate(all="ignore"):
        values = ACTIVATIONS[name].exact(
            np.concatenate([value.offset for value in inputs]), *parameters
        )
    if not np.isfinite(values).all():
        raise SymbolError("constants give NaN or infinity")
    return values
