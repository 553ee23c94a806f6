"""student.safetensors in: the posterior collapsed to its mean under its mask, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from common.errors import UserError
from export.activations import ACTIVATIONS, Float32
from export.graph import MAX_LAYERS, MAX_WEIGHTS, Layer, PolicyGraph
from export.model_file import check_model_file
from export.signals import parse_json_object, parse_signals

MAX_FILE_BYTES = 12 * MAX_WEIGHTS
"""Mean, log sigma and mask of the largest graph, and room for the rest."""

LOG_ALPHA_LIMIT = 10.0
FORMAT, VERSION = "sparsectl.student", 1


def read_student(path: Path) -> PolicyGraph:
    """The deterministic masked network of a student, its normaliser still beside its weights.

    A weight is its posterior mean where the student's mask says so or, without a mask, where
    log alpha = 2 log sigma - 2 log|mean| is under the student's threshold (Molchanov et al. 2017,
    equation 15's criterion); all others are 0. Biases stay.

    Raises:
        UserError: not a student, truncated, sizes that do not fit, NaN or infinite weights.
    """
    check_model_file(path, MAX_FILE_BYTES)
    try:
        with safe_open(path, framework="np") as tensors:
            metadata = _metadata(tensors.metadata(), path)
            layers = tuple(
                _layer(tensors, index, activation, metadata, path)
                for index, activation in enumerate(_activations(metadata, path))
            )
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({error}); give a student.safetensors as "
            "`sparsectl distill` writes it"
        ) from error
    environment = metadata.get("environment")
    return PolicyGraph(
        layers,
        **parse_signals(metadata.get("signals"), f"{path}: signals")._asdict(),
        environment=environment if isinstance(environment, str) else None,
        provenance={"student": metadata.get("provenance", {}), "seed": metadata.get("seed")},
    )


def log_alpha(mean: Float32, log_sigma: Float32) -> Float32:
    """log of noise variance over squared mean, clipped to [-10, 10]; a mean of 0 gives 10."""
    with np.errstate(divide="ignore", over="ignore"):
        ratio = 2 * log_sigma - 2 * np.log(np.abs(mean))
    clipped: Float32 = np.clip(ratio, -LOG_ALPHA_LIMIT, LOG_ALPHA_LIMIT)
    return clipped


def _metadata(metadata: dict[str, str] | None, path: Path) -> dict[str, Any]:
    text = (metadata or {}).get("sparsectl")
    if text is None:
        raise UserError(
            f"{path} holds tensors but no sparsectl metadata; give a student.safetensors as "
            "`sparsectl distill` writes it, or export the model to ONNX"
        )
    value = parse_json_object(text, f"{path}: its sparsectl metadata")
    if (value.get("format"), value.get("version")) != (FORMAT, VERSION):
        raise UserError(
            f"{path} is {value.get('format')!r} version {value.get('version')!r}; this sparsectl "
            f"reads {FORMAT!r} version {VERSION}"
        )
    return value


def _activations(metadata: dict[str, Any], path: Path) -> list[str]:
    names = metadata.get("activations")
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_LAYERS:
        raise UserError(f"{path}: activations is not a list of 1 to {MAX_LAYERS}; distill again")
    for name in names:
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise UserError(
                f"{path}: activation {name!r} is not known; use one of {', '.join(ACTIVATIONS)}"
            )
    return names


def _layer(
    tensors: Any, index: int, activation: str, metadata: dict[str, Any], path: Path
) -> Layer:
    mean = _tensor(tensors, f"layers.{index}.mean", "F32", path)
    bias = _tensor(tensors, f"layers.{index}.bias", "F32", path)
    if f"layers.{index}.mask" in tensors.keys():
        kept = _tensor(tensors, f"layers.{index}.mask", "U8", path) != 0
    else:
        log_sigma = _tensor(tensors, f"layers.{index}.log_sigma", "F32", path)
        if log_sigma.shape != mean.shape or np.isnan(log_sigma).any():
            raise UserError(
                f"{path}: layers.{index}.log_sigma has NaN or not the shape of its mean; "
                "distill again"
            )
        kept = log_alpha(mean, log_sigma) < _threshold(metadata, path)
    if kept.shape != mean.shape:
        raise UserError(
            f"{path}: layers.{index}.mask is {list(kept.shape)} but its mean is "
            f"{list(mean.shape)}; distill again"
        )
    try:  # the pruned weights must be finite too: a NaN there is a broken training
        Layer(mean, bias, activation)
        return Layer(np.where(kept, mean, np.float32(0)), bias, activation)
    except UserError as error:
        raise UserError(f"{path}: layer {index}: {error}") from error


def _tensor(tensors: Any, name: str, dtype: str, path: Path) -> np.ndarray:
    if name not in tensors.keys():
        raise UserError(f"{path} has no tensor {name}; distill again")
    found = tensors.get_slice(name).get_dtype()
    if found != dtype:
        raise UserError(f"{path}: {name} is {found}, not {dtype}; distill again")
    array: np.ndarray = tensors.get_tensor(name)
    return array


def _threshold(metadata: dict[str, Any], path: Path) -> float:
    value = metadata.get("log_alpha_threshold")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError(
            f"{path}: log_alpha_threshold is {value!r}; give a number (the paper has 2)"
        )
    return float(value)
