"""The registry of handlers."""

from __future__ import annotations

from collections.abc import Callable

from sparsectl.policy.onnx_file.node import Node, Value
from sparsectl.policy.onnx_file.symbol import FLOAT, WHOLE, Symbol, with_kind

Result = Value | tuple[Value, ...]
Handler = Callable[[Node], Result]

OPERATORS: dict[str, Handler] = {}
"""Operator (with its domain, if it is not ONNX's default) to handler."""

ELSEWHERE: dict[str, str] = {}
"""Operators that are refused, each with an explanation and a workaround."""

KEEPS: dict[str, slice] = {
    **dict.fromkeys(("Abs", "Sign", "Clip", "Relu", "CumSum", "Pow"), slice(0, 1)),
    **dict.fromkeys(("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"), slice(0, 1)),
    **dict.fromkeys(("ReduceL1", "ReduceSumSquare"), slice(0, 1)),
    **dict.fromkeys(("Max", "Min"), slice(0, None)),
    "Where": slice(1, 3),
}
"""Operators whose result is of the type of some of their inputs, and which of them these are."""


def operator(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for the operators `names`."""

    def register(handler: Handler) -> Handler:
        OPERATORS.update(dict.fromkeys(names, handler))
        return handler

    return register


def in_kind(node: Node, result: Value) -> Value:
    """Return what a node made as whole numbers, if its operator keeps the type of such."""
    kept = KEEPS.get(node.operator)
    if kept is None or not isinstance(result, Symbol):
        return result
    given = [value for value in node.inputs[kept] if value is not None]
    if any(v.kind == FLOAT if isinstance(v, Symbol) else v.dtype.kind == "f" for v in given):
        return result
    return with_kind(result, WHOLE)


def refused(why: str, *names: str) -> None:
    """Register why the operators `names` are refused."""
    ELSEWHERE.update(dict.fromkeys(names, why))
