"""A node of an ONNX file with its input values, and how it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.onnx_file.program import Program
from sparsectl.policy.onnx_file.symbol import FLOAT, TRUTH, WHOLE, Symbol, constants
from sparsectl.policy.onnx_file.tensors import Array, TensorReader

Value = Symbol | Array | None
"""A tensor: it depends on the observation, is a constant, or is not given."""


@dataclass(frozen=True)
class Node:
    """A node with its inputs' values."""

    label: str
    operator: str
    inputs: tuple[Value, ...]
    attributes: dict[str, Any]
    opset: int
    tensors: TensorReader
    program: Program
    outputs: int = 1
    """Number of its outputs that have a name."""
    read: frozenset[int] = frozenset({0})
    """Places of the outputs that something reads."""

    def refuse(self, why: str) -> NoReturn:
        raise UserError(f"{self.label} ({self.operator}) cannot be exported: {why}")

    def input(self, index: int) -> Value:
        return self.inputs[index] if index < len(self.inputs) else None

    def symbol(self, index: int = 0) -> Symbol:
        """Return input `index`, which depends on the observation."""
        value = self.input(index)
        if not isinstance(value, Symbol):
            self.refuse(f"its input {index} does not come from the observation")
        return value

    def numbers_of(self, index: int = 0) -> Symbol:
        """Return input `index` as a symbol, even if it is a constant."""
        value = self.input(index)
        if value is None:
            self.refuse(f"its input {index} is missing")
        if isinstance(value, Symbol):
            return value
        if not np.isfinite(value).all():
            found = np.asarray(value)[~np.isfinite(value)][0]
            mend = "write a finite number, which float32 can add to and multiply"
            if found == -np.inf:
                mend = "mask with a finite number, such as -1e9, which no argmax takes either"
            self.refuse(f"its input {index} has {found}; {mend}")
        self.tensors.spend(4 * value.size, self.label)
        kinds = {"f": FLOAT, "b": TRUTH}
        return constants(value, kinds.get(value.dtype.kind, WHOLE))

    @property
    def is_constant(self) -> bool:
        """Return whether no input depends on the observation."""
        return not any(isinstance(value, Symbol) for value in self.inputs)

    def constant(self, index: int) -> Array:
        value = self.input(index)
        if not isinstance(value, np.ndarray):
            self.refuse(f"its input {index} is not a constant")
        return value

    def wholes(self, index: int, name: str) -> list[int] | None:
        """Return integers that are an attribute in old opsets and an input in newer ones; None if
        not given."""
        value = self.attributes.get(name)
        if value is None and self.input(index) is not None:
            value = self.constant(index).reshape(-1)[:99].tolist()
        return None if value is None else self._wholes(value, name)

    def _wholes(self, value: Any, name: str) -> list[int]:
        if not isinstance(value, list) or not all(isinstance(v, int) for v in value):
            self.refuse(f"its {name} are not whole numbers")
        return value

    def number(self, name: str, default: float) -> float:
        value = self.attributes.get(name, default)
        if not isinstance(value, (int, float)):
            self.refuse(f"its attribute {name} is not a number")
        return float(value)

    def numbers(self, name: str, default: list[float]) -> list[float]:
        value = self.attributes.get(name, default)
        if not isinstance(value, list) or not all(isinstance(v, (int, float)) for v in value):
            self.refuse(f"its attribute {name} is not a list of numbers")
        return value

    def whole(self, name: str, default: int) -> int:
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            self.refuse(f"its attribute {name} is not a whole number")
        return value

    def text(self, name: str, default: str) -> str:
        value = self.attributes.get(name, default.encode())
        if not isinstance(value, bytes):
            self.refuse(f"its attribute {name} is not text")
        return value.decode("utf-8", "replace")

    def axis(self, dimensions: int, default: int, name: str = "axis") -> int:
        """Return the attribute axis, counted from the front."""
        return self.from_front(self.whole(name, default), dimensions)

    def from_front(self, axis: int, dimensions: int) -> int:
        if not -dimensions <= axis < dimensions:
            self.refuse(f"axis {axis} of {dimensions} dimensions")
        return axis % dimensions

    def axes(self, value: Symbol | Array, axes: list[int] | None) -> tuple[int, ...]:
        """Return axes counted from the front; all if none are given. For a symbol the batch must
        not be among them."""
        dimensions = value.ndim
        found = (
            range(dimensions) if axes is None else [self.from_front(a, dimensions) for a in axes]
        )
        if len(set(found)) != len(found):
            self.refuse(f"axes {axes} name a dimension twice")
        for axis in found:
            self.keep_batch(value, axis)
        return tuple(sorted(found))

    def keep_batch(self, value: Symbol | Array, axis: int) -> None:
        """Refuse an operation across the observations of a batch."""
        if isinstance(value, Symbol) and value.batch == axis:
            self.refuse("it goes across the observations of a batch")

    def permutation(self, dimensions: int) -> list[int]:
        """Return the attribute perm; by default the dimensions in reverse."""
        value = self._wholes(self.attributes.get("perm") or [*range(dimensions)[::-1]], "perm")
        if sorted(value) != list(range(dimensions)):
            self.refuse(f"perm {value[:9]} for {dimensions} dimensions")
        return value
