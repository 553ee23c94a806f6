"""ONNX operators a policy may have, a handler each, in the registry OPERATORS.

A file is read by running it for one observation: a handler takes a `Node` and gives the node's
output, a `Symbol` (what comes from the observation) or a constant; a tuple where the node has
several outputs.
"""

from sparsectl.policy.onnx_file.operators import (
    activations,
    arithmetic,
    comparisons,
    constants,
    convolutions,
    form,
    layers,
    limits,
    normalisations,
    picking,
    quantised,
    recurrent,
    reductions,
    refusals,
)
from sparsectl.policy.onnx_file.operators.registry import ELSEWHERE, OPERATORS

__all__ = [
    "ELSEWHERE",
    "OPERATORS",
    "activations",
    "arithmetic",
    "comparisons",
    "constants",
    "convolutions",
    "form",
    "layers",
    "limits",
    "normalisations",
    "picking",
    "quantised",
    "recurrent",
    "reductions",
    "refusals",
]
