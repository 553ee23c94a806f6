"""ONNX operators an MLP may have, a handler each, in the registry OPERATORS.

A file is read by running it: a handler takes a `Node` and gives the node's output, a `Stream` (what
is known of the value that comes from the observation), a `Curve` (a function of one that is not yet
an activation) or a constant; a tuple where the node has several outputs.
"""

from sparsectl.export.onnx_operators import (
    activations,
    arithmetic,
    constants,
    form,
    heads,
    layers,
    limits,
    picking,
)
from sparsectl.export.onnx_operators.registry import OPERATORS

__all__ = [
    "OPERATORS",
    "activations",
    "arithmetic",
    "constants",
    "form",
    "heads",
    "layers",
    "limits",
    "picking",
]
