"""Read student.safetensors without torch: the posterior collapses to its mean under its mask."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sparsectl.common.errors import UserError
from sparsectl.policy.activations import ACTIVATIONS, Float32
from sparsectl.policy.convolution import Convolution, described_convolution
from sparsectl.policy.graph import MAX_LAYERS, MAX_WEIGHTS, Layer, PolicyGraph, Segment
from sparsectl.policy.model_file import check_model_file
from sparsectl.policy.recurrent import Gru, recurrent_policy
from sparsectl.policy.signals import parse_json_object, parse_signals, shown
from sparsectl.policy.tasks import (
    check_task,
    columns_of,
    heads_of,
    rows_of,
    signals_of_task,
    tasks_of,
)

MAX_FILE_BYTES = 12 * MAX_WEIGHTS
"""The largest file: mean, log sigma and mask of the largest graph, and some room."""

LOG_ALPHA_LIMIT = 10.0
FORMAT, VERSION = "sparsectl.student", 1
GRU = "gru"
"""The name in a student's activations that marks a recurrent layer."""


def read_student(path: Path, task: int | None = None) -> PolicyGraph:
    """Return the deterministic masked network of a student, with its normaliser still apart from
    its weights.

    A weight is its posterior mean if the student's mask keeps it or, without a mask, if log alpha =
    2 log sigma - 2 log|mean| is below the student's threshold (Molchanov et al. 2017, equation 15's
    criterion); all others are 0. Biases stay.

    Args:
        path: the student's file.
        task: for a student of several tasks, the task's index from 0: only its head is returned,
            with its own observations. None: all heads, with the choice of each as an action.

    Raises:
        UserError: the file is not a student, is truncated, has sizes that do not fit, NaN or
            infinite weights, or no such task.
    """
    check_model_file(path, MAX_FILE_BYTES)
    try:
        with safe_open(path, framework="np") as tensors:
            return _graph(tensors, task, path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({error}); give a student.safetensors as "
            "`sparsectl distill` writes it"
        ) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _graph(tensors: Any, task: int | None, path: Path) -> PolicyGraph:
    metadata = _metadata(tensors.metadata())
    names = _activations(metadata)
    convolutions = [described_convolution(metadata)] + [None] * (len(names) - 1)
    if GRU in names:
        return _recurrent(tensors, names, metadata, task)
    layers = tuple(
        _layer(tensors, i, name, metadata, convolutions[i]) for i, name in enumerate(names)
    )
    environment, tasks = metadata.get("environment"), tasks_of(metadata)
    signals: Any = metadata.get("signals")
    if task is not None:
        one = check_task(tasks, task, "the file")
        environment = one.get("environment")
        for each in (signals, one["signals"]):
            parse_signals(each, "signals")
        layers = _of_task(layers, signals, one["signals"], task)
        signals = signals_of_task(signals, one["signals"])
    elif tasks:
        heads = tuple(Segment(count, "argmax") for count in heads_of(signals))
        last = layers[-1]
        layers = (*layers[:-1], Layer(last.weight, last.bias, segments=heads))
    return PolicyGraph(
        layers,
        **parse_signals(signals, "signals")._asdict(),
        environment=environment if isinstance(environment, str) else None,
        provenance={"student": metadata.get("provenance", {}), "seed": metadata.get("seed")},
    )


def read_blocks(path: Path) -> list[Layer | Gru]:
    """Return the layers of a recurrent student as in the file, with its normaliser apart.

    Raises:
        UserError: as `read_student`.
    """
    with safe_open(path, framework="np") as tensors:
        metadata = _metadata(tensors.metadata())
        return _blocks(tensors, _activations(metadata), metadata)


def _recurrent(
    tensors: Any, names: list[str], metadata: dict[str, Any], task: int | None
) -> PolicyGraph:
    if task is not None or tasks_of(metadata):
        raise UserError("it has recurrent units and several tasks; distil a student for each task")
    if described_convolution(metadata) is not None:
        raise UserError("it has recurrent units and a convolution, which is not possible together")
    environment = metadata.get("environment")
    return recurrent_policy(
        _blocks(tensors, names, metadata),
        **parse_signals(metadata.get("signals"), "signals")._asdict(),
        environment=environment if isinstance(environment, str) else None,
        provenance={"student": metadata.get("provenance", {}), "seed": metadata.get("seed")},
    )


def _blocks(tensors: Any, names: list[str], metadata: dict[str, Any]) -> list[Layer | Gru]:
    return [
        _gru(tensors, index, metadata)
        if name == GRU
        else _layer(tensors, index, name, metadata, None)
        for index, name in enumerate(names)
    ]


def _gru(tensors: Any, index: int, metadata: dict[str, Any]) -> Gru:
    """Read a recurrent layer: torch's weight_ih and bias_ih are mean and bias, its weight_hh and
    bias_hh are recurrent_mean and recurrent_bias; reset_state is present if the state does not
    start from 0."""
    weights = []
    for part in ("", "recurrent_"):
        mean = _tensor(tensors, f"layers.{index}.{part}mean", "F32")
        if not np.isfinite(mean).all():
            raise UserError(f"layers.{index}.{part}mean has NaN or infinities; train again")
        kept = _kept(tensors, index, mean, metadata, part)
        weights.append(np.where(kept, mean, np.float32(0)))
    biases = [_tensor(tensors, f"layers.{index}.{part}bias", "F32") for part in ("", "recurrent_")]
    name, start = f"layers.{index}.reset_state", None
    if name in tensors.keys():
        start = _tensor(tensors, name, "F32")
    try:
        return Gru(weights[0], weights[1], biases[0], biases[1], start)
    except UserError as error:
        raise UserError(f"layer {index}: {error}") from error


def _of_task(
    layers: tuple[Layer, ...], signals: dict[str, Any], own: dict[str, Any], task: int
) -> tuple[Layer, ...]:
    """Return the trunk with one head, for the observations of its task."""
    first, convolution = layers[0], layers[0].convolution
    columns = columns_of(signals, own, first.weight.shape[1])
    if convolution is not None:
        convolution = replace(convolution, channels=len(columns) // math.prod(convolution.kernel))
    changed = [
        replace(first, weight=first.weight[:, columns], convolution=convolution),
        *layers[1:],
    ]
    rows, last = rows_of(signals, task), changed[-1]
    changed[-1] = replace(last, weight=last.weight[rows], bias=last.bias[rows])
    return tuple(changed)


def log_alpha(mean: Float32, log_sigma: Float32) -> Float32:
    """Return the log of noise variance over squared mean, clipped to [-10, 10]; it is 10 for a mean
    of 0."""
    with np.errstate(divide="ignore", over="ignore"):
        ratio = 2 * log_sigma - 2 * np.log(np.abs(mean))
    clipped: Float32 = np.clip(ratio, -LOG_ALPHA_LIMIT, LOG_ALPHA_LIMIT)
    return clipped


def _metadata(metadata: dict[str, str] | None) -> dict[str, Any]:
    text = (metadata or {}).get("sparsectl")
    if text is None:
        raise UserError(
            "it holds tensors but no sparsectl metadata; give a student.safetensors as "
            "`sparsectl distill` writes it, or export the model to ONNX"
        )
    value = parse_json_object(text, "its sparsectl metadata")
    if (value.get("format"), value.get("version")) != (FORMAT, VERSION):
        found = f"{shown(value.get('format'))} version {shown(value.get('version'))}"
        raise UserError(f"it is {found}; this sparsectl reads {FORMAT!r} version {VERSION}")
    return value


def _activations(metadata: dict[str, Any]) -> list[str]:
    names = metadata.get("activations")
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_LAYERS:
        raise UserError(f"activations is not a list of 1 to {MAX_LAYERS}; distill again")
    for name in names:
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise UserError(
                f"activation {shown(name)} is not known; use one of {', '.join(ACTIVATIONS)}"
            )
    return names


def _layer(
    tensors: Any,
    index: int,
    activation: str,
    metadata: dict[str, Any],
    convolution: Convolution | None,
) -> Layer:
    mean = _tensor(tensors, f"layers.{index}.mean", "F32")
    bias = _tensor(tensors, f"layers.{index}.bias", "F32")
    kept = _kept(tensors, index, mean, metadata)
    try:  # the pruned weights must be finite too: a NaN there is a broken training
        layer = Layer(mean, bias, activation, convolution=convolution)
        return replace(layer, weight=np.where(kept, mean, np.float32(0)))
    except UserError as error:
        raise UserError(f"layer {index}: {error}") from error


def _kept(
    tensors: Any, index: int, mean: Float32, metadata: dict[str, Any], part: str = ""
) -> NDArray[np.bool_]:
    """Return which weights are kept, [out, in]: those of the mask, or without one those below the
    threshold.

    part: "recurrent_" for the weights of the state.
    """
    mask = f"layers.{index}.{part}mask"
    has_mask = mask in tensors.keys()
    name, dtype = (mask, "U8") if has_mask else (f"layers.{index}.{part}log_sigma", "F32")
    array = _tensor(tensors, name, dtype)
    if array.shape != mean.shape or np.isnan(array).any():
        raise UserError(
            f"{name} is {list(array.shape)} and its mean {list(mean.shape)}, or it has NaN; "
            "distill again"
        )
    return array != 0 if has_mask else log_alpha(mean, array) < _threshold(metadata)


def _tensor(tensors: Any, name: str, dtype: str) -> np.ndarray:
    if name not in tensors.keys():
        raise UserError(f"it has no tensor {name}; distill again")
    found = tensors.get_slice(name).get_dtype()
    if found != dtype:
        raise UserError(f"{name} is {found}, not {dtype}; distill again")
    array: np.ndarray = tensors.get_tensor(name)
    return array


def _threshold(metadata: dict[str, Any]) -> float:
    value = metadata.get("log_alpha_threshold")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError(f"log_alpha_threshold is {shown(value)}; give a number (the paper has 2)")
    return float(value)
