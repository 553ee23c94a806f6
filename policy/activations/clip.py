"""Limits between layers: Clip, ReLU6, Hardtanh."""

from __future__ import annotations

import numpy as np

from sparsectl.policy.activations.activation import Activation, Float32, Float64, each_c

LOWEST, GREATEST = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)
"""No limit, as ONNX's Clip has it."""


def clip(x: Float32, low: float, high: float) -> Float32:
    """x, but at least low and at most high. Exact; NaN stays NaN."""
    raised = np.where(x < np.float32(low), np.float32(low), x)
    return np.where(raised > np.float32(high), np.float32(high), raised)


def _exact(x: Float64, low: float, high: float) -> Float64:
    return np.clip(x, low, high)


CLIP = Activation(
    "clip",
    forward=clip,
    exact=_exact,
    c_one="""\
static float clip_of(float x, float low, float high)
{
    const float raised = x < low ? low : x;
    return raised > high ? high : raised;
}
""",
    c_all=each_c("clip", "low", "high"),
    parameters=(("low", LOWEST), ("high", GREATEST)),
)
