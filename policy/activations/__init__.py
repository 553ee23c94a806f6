"""Activations: one definition each, with its float32 and exact numpy forms and its C."""

from sparsectl.policy.activations.activation import (
    Activation,
    CText,
    Float32,
    Float64,
    FloatLiteral,
    c_decimal,
    c_float,
)
from sparsectl.policy.activations.registry import ACTIVATIONS, c_bits, c_call, c_functions

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "CText",
    "Float32",
    "Float64",
    "FloatLiteral",
    "c_bits",
    "c_call",
    "c_decimal",
    "c_float",
    "c_functions",
]
