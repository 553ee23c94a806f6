"""The registry of handlers."""

from __future__ import annotations

from collections.abc import Callable

from sparsectl.export.onnx_curve import Curve
from sparsectl.export.onnx_node import Node
from sparsectl.export.onnx_stream import Operand

Value = Operand | Curve
Result = Value | tuple[Value, ...]
Handler = Callable[[Node], Result]

OPERATORS: dict[str, Handler] = {}
"""Operator (with its domain, if it is not ONNX's default) to handler."""


def operator(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for the operators `names`."""

    def register(handler: Handler) -> Handler:
        OPERATORS.update(dict.fromkeys(names, handler))
        return handler

    return register
