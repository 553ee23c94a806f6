"""The registry of handlers."""

from __future__ import annotations

from collections.abc import Callable

from sparsectl.policy.onnx_file.node import Node, Value

Result = Value | tuple[Value, ...]
Handler = Callable[[Node], Result]

OPERATORS: dict[str, Handler] = {}
"""Operator (with its domain, if it is not ONNX's default) to handler."""

ELSEWHERE: dict[str, str] = {}
"""Operators that are refused, each with an explanation and a workaround."""


def operator(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for the operators `names`."""

    def register(handler: Handler) -> Handler:
        OPERATORS.update(dict.fromkeys(names, handler))
        return handler

    return register


def refused(why: str, *names: str) -> None:
    """Register why the operators `names` are refused."""
    ELSEWHERE.update(dict.fromkeys(names, why))
