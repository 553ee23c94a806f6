"""A node of an ONNX file with the values it reads, and how it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export.onnx_curve import Curve, known_as
from sparsectl.export.onnx_stream import Operand, Shared, Shifted, Stream
from sparsectl.export.onnx_tensors import Array, TensorReader


@dataclass(frozen=True)
class Node:
    """A node with its inputs' values."""

    label: str
    operator: str
    inputs: tuple[Operand | Curve, ...]
    attributes: dict[str, Any]
    opset: int
    tensors: TensorReader
    outputs: int = 1

    @property
    def title(self) -> str:
        return f"{self.label} ({self.operator})"

    def refuse(self, why: str) -> NoReturn:
        raise UserError(
            f"{self.title} cannot be exported: {why}; "
            "give a plain MLP of Gemm or MatMul+Add, activations and scaling"
        )

    def input(self, index: int) -> Operand | Curve:
        return self.inputs[index] if index < len(self.inputs) else None

    def stream(self, index: int = 0) -> Stream:
        """Input `index` as a Stream: a curve becomes the activation that it is."""
        value = self.input(index)
        if isinstance(value, Curve):
            return known_as(value, self.tensors.spend)
        if isinstance(value, (Shifted, Shared)):
            self.refuse("a logarithm of a sum before it is only possible before Softmax or ArgMax")
        if not isinstance(value, Stream):
            self.refuse(f"its input {index} does not come from the observation")
        return value

    def constant(self, index: int) -> Array:
        value = self.input(index)
        if not isinstance(value, np.ndarray):
            self.refuse(f"its input {index} is not a constant")
        return value

    def wholes(self, index: int, name: str) -> list[int] | None:
        """Whole numbers, an attribute in old opsets and an input since; None if not given."""
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
        return value

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

    def axis(self, dimensions: int, default: int) -> int:
        """The attribute axis, counted from the front."""
        value = self.whole("axis", default)
        if not -dimensions <= value < dimensions:
            self.refuse(f"axis {value} of {dimensions} dimensions")
        return value % dimensions

    def permutation(self, dimensions: int) -> list[int]:
        """The attribute perm; without it the dimensions in reverse."""
        value = self._wholes(self.attributes.get("perm") or [*range(dimensions)[::-1]], "perm")
        if sorted(value) != list(range(dimensions)):
            self.refuse(f"perm {value[:9]} for {dimensions} dimensions")
        return value
