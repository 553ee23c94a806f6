"""The supported ONNX operators, one handler each, in the registry OPERATORS.

A file is read by running it for one observation: a handler takes a `Node` and returns the node's
output, a `Symbol` (which depends on the observation) or a constant; a tuple if the node has several
outputs.
"""

from sparsectl.policy.onnx_file.operators import (
    activations,
    arithmetic,
    comparisons,
    constants,
    convolutions,
    einsum,
    form,
    layers,
    limits,
    ml,
    normalisations,
    picking,
    quantised,
    recurrent,
    reductions,
    refusals,
)
from sparsectl.policy.onnx_file.operators.registry import ELSEWHERE, OPERATORS, in_kind

__all__ = [
    "ELSEWHERE",
    "OPERATORS",
    "activations",
    "arithmetic",
    "comparisons",
    "constants",
    "convolutions",
    "einsum",
    "form",
    "in_kind",
    "layers",
    "limits",
    "ml",
    "normalisations",
    "picking",
    "quantised",
    "recurrent",
    "reductions",
    "refusals",
]
