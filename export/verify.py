"""Proof that an export is the policy: every way to run it, on the same observations."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sparsectl.common.errors import UserError
from sparsectl.export.activations import Float32, Float64
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.finite import require_finite_actions
from sparsectl.export.graph import PolicyGraph
from sparsectl.export.host_c import run_c
from sparsectl.export.rounding import float32_rounding

Progress = Callable[[str], None]

DEFAULT_ERROR = {"float32": 1e-6, "float16": 5e-3, "int16": 5e-3, "int8": 5e-2}
"""Greatest difference from the model, relative to the action's range, by the form of a weight."""


def verify(
    source: PolicyGraph,
    policy: EncodedPolicy,
    folder: Path,
    *,
    observations: Float32,
    error: float | None,
    with_torch: bool,
    anywhere: Float32 | None = None,
    progress: Progress = lambda path: None,
) -> dict[str, Any]:
    """Compare all paths on `observations` [count, observation_size]; the files are `folder`'s
    policy.onnx and policy.c. The C must give the reference's bits on those of `anywhere` too.

    max_abs_error holds, in units of the action: "numpy", the encoding's reference against `source`
    (the model before the passes) in float64; "onnxruntime", "host_c" and, if measured, "torch" (the
    model before the passes in float32), each against the encoding's reference. `spread` is the
    greatest difference between any two of the paths.

    `error` is relative to the range of each action, and strict. None allows DEFAULT_ERROR of the
    encoding's kind or, for an observation where a policy is so steep that float32 cannot resolve
    that, its rounding (`export.rounding`); `within_error` says whether that was needed.

    Raises:
        UserError: a path differs by more than that; the C differs in any bit; no C compiler.
    """
    progress("numpy")
    exported = policy.graph
    reference = policy.forward(observations)
    require_finite_actions(reference, observations)
    truth = source.forward_exact(observations)
    paths: dict[str, Float32] = {}
    progress("onnxruntime")
    paths["onnxruntime"] = run_onnx(folder / "policy.onnx", observations)
    progress("host C")
    with tempfile.TemporaryDirectory(prefix="sparsectl-") as scratch:
        paths["host_c"] = run_c(folder, observations, exported.action_size, Path(scratch))
        if anywhere is not None:
            elsewhere = run_c(folder, anywhere, exported.action_size, Path(scratch))
            _require_same_bits(policy.forward(anywhere), elsewhere)
    if with_torch and importlib.util.find_spec("torch") is not None:
        progress("torch")
        paths["torch"] = run_torch(source, observations)
    _require_same_bits(reference, paths["host_c"])
    rounding = float32_rounding(source, observations) + float32_rounding(exported, observations)
    allowed_share = DEFAULT_ERROR[policy.encoding.kind] if error is None else error
    limit = allowed_share * action_range(exported, truth)
    allowed = np.broadcast_to(limit, truth.shape)
    if error is None:
        allowed = np.maximum(allowed, rounding)
    baseline = reference.astype(np.float64)
    differences: dict[str, Float64] = {"numpy": baseline - truth}
    differences |= {name: actions.astype(np.float64) - baseline for name, actions in paths.items()}
    spread = np.ptp(np.stack([reference, *paths.values()]).astype(np.float64), axis=0)
    compared = differences | {"one way to run it from another": spread}
    for name, difference in compared.items():
        _require_within(name, difference, allowed)
    return {
        "max_abs_error": {n: float(np.abs(d).max()) for n, d in differences.items()},
        "spread": float(spread.max()),
        "error_limit": float(limit.min()),
        "action_range": float(action_range(exported, truth).min()),
        "float32_rounding": float(rounding.max()),
        "within_error": all(bool(np.all(np.abs(d) <= limit)) for d in compared.values()),
        "observations": len(observations),
    }


def action_range(graph: PolicyGraph, actions: Float64) -> Float64:
    """high - low of each action; where a limit is missing, what the actions span, at least 1."""
    span = np.maximum(np.ptp(actions, axis=0), 1.0)
    limits = [(s.low, s.high) for s in graph.action]
    known = [np.nan if low is None or high is None else high - low for low, high in limits]
    return np.where(np.isnan(known) | (np.array(known) == 0), span, known)


def run_onnx(path: Path, observations: Float32) -> Float32:
    """policy.onnx in onnxruntime, one thread. [count, observation_size] -> [count, action_size]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    actions: Float32 = session.run(["action"], {"observation": observations})[0]
    return actions


def run_torch(graph: PolicyGraph, observations: Float32) -> Float32:
    """The graph as it stands in torch, float32; needs torch."""
    import torch

    functions = {
        "identity": lambda x: x,
        "relu": torch.relu,
        "leaky_relu": torch.nn.functional.leaky_relu,
        "elu": torch.nn.functional.elu,
        "silu": torch.nn.functional.silu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
    }

    def row(values: Any) -> torch.Tensor:
        return torch.tensor(np.asarray(values, np.float32))

    with torch.no_grad():
        x = (row(observations) - row(graph.observation_offset)) / row(graph.observation_scale)
        for layer in graph.layers:
            linear = torch.nn.functional.linear(x, row(layer.weight), row(layer.bias))
            x = functions[layer.activation](linear)
        x = x * row([s.scale for s in graph.action]) + row([s.offset for s in graph.action])
        low = row([-np.inf if s.low is None else s.low for s in graph.action])
        high = row([np.inf if s.high is None else s.high for s in graph.action])
        actions: Float32 = torch.clamp(x, low, high).numpy()
    return actions


def _require_same_bits(reference: Float32, host_c: Float32) -> None:
    different = np.argwhere(reference.view(np.uint32) != host_c.view(np.uint32))
    if len(different):
        row, column = different[0]
        raise UserError(
            f"host C differs from the numpy reference in {len(different)} of {reference.size} "
            f"actions (the first: {host_c[row, column]!r}, not {reference[row, column]!r}); use a "
            "compiler with IEEE float32 arithmetic (gcc or clang)"
        )


def _require_within(name: str, difference: Float64, allowed: Float64) -> None:
    over = np.abs(difference) / allowed
    over[np.isnan(over)] = np.inf
    worst = np.unravel_index(np.argmax(over), over.shape)
    if over[worst] > 1:
        found, limit = abs(difference[worst]), allowed[worst]
        raise UserError(
            f"{name} differs by {found:.3g} where {limit:.3g} is allowed; give an --error at least "
            f"{over[worst]:.2g} times as large if that is small enough for the plant"
        )
