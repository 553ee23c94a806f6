"""Read student.safetensors as a PolicyGraph: the posterior collapses to its mean under its mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.policy.convolution import described_convolution
from sparsectl.policy.graph import MAX_WEIGHTS, Layer, PolicyGraph, Segment
from sparsectl.policy.recurrent import Gru, recurrent_policy
from sparsectl.policy.signals import parse_signals
from sparsectl.policy.student_file import (
    GRU,
    StudentFile,
    open_student,
    read_layer,
    read_reset_state,
    read_student_file,
)
from sparsectl.policy.tasks import check_task, heads_of, tasks_of

MAX_FILE_BYTES = 12 * MAX_WEIGHTS
"""The largest file: mean, log sigma and mask of the largest graph, and some room."""


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
    if (recurrent := recurrent_student(path, task)) is not None:
        return recurrent
    student = read_student_file(path, MAX_FILE_BYTES)
    if task is not None:
        check_task(student.tasks, task, path)
        student = student.of_task(task)
    try:
        return graph_of_student(student)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def is_of_several_tasks(path: Path) -> bool:
    """Return whether a file is a student of several tasks.

    Raises:
        UserError: it ends as a student's file does, but is none.
    """
    if path.suffix.lower() != ".safetensors":
        return False
    with open_student(path) as (_, metadata):
        return bool(tasks_of(metadata))


def graph_of_student(student: StudentFile) -> PolicyGraph:
    """Return the deterministic masked network of a student that has been read.

    Raises:
        UserError: it has more weights, layers or signals than a PolicyGraph.
    """
    names = student.metadata["activations"]
    layers = [
        Layer(layer.collapsed(student.threshold), layer.bias, name, convolution=layer.convolution)
        for layer, name in zip(student.layers, names, strict=True)
    ]
    signals = student.metadata["signals"]
    if student.tasks:
        heads = tuple(Segment(count, "argmax") for count in heads_of(signals))
        layers[-1] = Layer(layers[-1].weight, layers[-1].bias, segments=heads)
    return PolicyGraph(tuple(layers), **_described(student.metadata))


def read_blocks(path: Path) -> list[Layer | Gru]:
    """Return the layers of a recurrent student as in the file, with its normaliser apart.

    Raises:
        UserError: as `read_student`.
    """
    with open_student(path, MAX_FILE_BYTES) as (tensors, metadata):
        return _blocks(tensors, metadata)


def recurrent_student(path: Path, task: int | None = None) -> PolicyGraph | None:
    """Return the policy of a student with recurrent layers; None: it has none.

    Raises:
        UserError: as `read_student`.
    """
    with open_student(path) as (tensors, metadata):
        if GRU not in metadata["activations"]:
            return None
        if task is not None or tasks_of(metadata):
            raise UserError(
                "it has recurrent units and several tasks; distil a student for each task"
            )
        if described_convolution(metadata) is not None:
            raise UserError("it has recurrent units and a convolution; distil it without one")
        return recurrent_policy(_blocks(tensors, metadata), **_described(metadata))


def _described(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a PolicyGraph that are in a student's metadata."""
    environment = metadata.get("environment")
    return {
        **parse_signals(metadata.get("signals"), "signals")._asdict(),
        "environment": environment if isinstance(environment, str) else None,
        "provenance": {"student": metadata.get("provenance", {}), "seed": metadata.get("seed")},
    }


def _blocks(tensors: Any, metadata: dict[str, Any]) -> list[Layer | Gru]:
    threshold = float(metadata["log_alpha_threshold"])
    blocks: list[Layer | Gru] = []
    for index, name in enumerate(metadata["activations"]):
        layer = read_layer(tensors, index)
        if name != GRU:
            blocks.append(Layer(layer.collapsed(threshold), layer.bias, name))
            continue
        # torch's weight_ih and bias_ih are mean and bias, weight_hh and bias_hh the recurrent ones
        held = read_layer(tensors, index, "recurrent_")
        weights = layer.collapsed(threshold), held.collapsed(threshold)
        start = read_reset_state(tensors, index)
        try:
            blocks.append(Gru(*weights, layer.bias, held.bias, start))
        except UserError as error:
            raise UserError(f"layer {index}: {error}") from error
    return blocks
