"""Write and read a student for any rig, and turn it into the policy of one rig."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.plants.drawing import families
from sparsectl.plants.rig import Rig
from sparsectl.policy.graph import Layer, PolicyGraph
from sparsectl.policy.recurrent import Gru, recurrent_policy
from sparsectl.policy.signals import parse_signals
from sparsectl.policy.student_file import FORMAT, GRU, VERSION
from sparsectl.training.any_rig.acting import (
    CONSTANTS,
    SIGNALS,
    Acting,
    Array,
    constants_of,
    scales_of,
)

LARGEST_BYTES = 2**20

LOG_ALPHA_THRESHOLD = 2.0
"""The usual threshold of a student's file; the masks keep all weights here."""

STUDENTS = Path(__file__).parent / "students"
"""Folder of the students that come with sparsectl, one for each family of rigs."""


def student_path(family: str) -> Path:
    """Return the path of the student for all rigs of a family."""
    return STUDENTS / f"any_{family}.safetensors"


def policy_for(student: Acting, rig: Rig) -> PolicyGraph:
    """Return the student as the policy of one rig.

    What the rig's file says of its limit and period goes into the biases and the signals' scales.
    It reads one frame, however many the rig's file stacks; its own state holds the past.
    """
    cell, said = _cell_and_signals(student, rig)
    signals = parse_signals(said, f"rig {rig.name}")
    duty = Layer(student.weight, student.bias, "tanh")
    return recurrent_policy([cell, duty], **signals._asdict())


def _cell_and_signals(student: Acting, rig: Rig) -> tuple[Gru, dict[str, Any]]:
    """Return the GRU with the rig's constants folded into its biases, and the signals that it
    takes."""
    read, constant = student.weight_ih[:, :SIGNALS], student.weight_ih[:, SIGNALS:]
    cell = Gru(
        weight_ih=read,
        weight_hh=student.weight_hh,
        bias_ih=student.bias_ih + constant @ constants_of(rig),
        bias_hh=student.bias_hh,
    )
    said = {**rig.signals(), "frames": 1}
    for signal, scale in zip(said["observation"], scales_of(rig).tolist(), strict=True):
        signal["scale"] = scale
    return cell, said


def write_any(path: Path, student: Acting, metadata: dict[str, Any]) -> None:
    """Write a student, for all rigs of its family.

    Args:
        path: of the `.safetensors`.
        student: what acts.
        metadata: JSON of where it comes from, with its `family`.
    """
    tensors = {field.name: getattr(student, field.name) for field in fields(student)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save_tensors(tensors, {"any_rig": json.dumps(metadata)}))


def write_for_rig(path: Path, student: Acting, rig: Rig, metadata: dict[str, Any]) -> None:
    """Write the student as the policy of one rig: a `student.safetensors` as `distill` writes it.

    Args:
        path: of the `.safetensors`.
        student: what acts.
        rig: what its file says of limit, period and counts is folded into the biases.
        metadata: JSON of where it comes from.
    """
    cell, said = _cell_and_signals(student, rig)
    matrices = {
        "layers.0.": cell.weight_ih,
        "layers.0.recurrent_": cell.weight_hh,
        "layers.1.": student.weight,
    }
    biases = {
        "layers.0.": cell.bias_ih,
        "layers.0.recurrent_": cell.bias_hh,
        "layers.1.": student.bias,
    }
    tensors: dict[str, Any] = {}
    for name, matrix in matrices.items():
        tensors[f"{name}mean"] = np.ascontiguousarray(matrix, np.float32)
        tensors[f"{name}mask"] = (np.asarray(matrix) != 0.0).astype(np.uint8)
        tensors[f"{name}bias"] = np.ascontiguousarray(biases[name], np.float32)
    described = {
        "format": FORMAT,
        "version": VERSION,
        "activations": [GRU, "tanh"],
        "log_alpha_threshold": LOG_ALPHA_THRESHOLD,
        "signals": said,
        "provenance": metadata,
    }
    with atomic_path(path) as temporary:
        temporary.write_bytes(save_tensors(tensors, {"sparsectl": json.dumps(described)}))


def family_of(path: Path) -> str:
    """Return the family of rigs that the student of a file is for; `read_any` has read it.

    Raises:
        UserError: the file does not say so, or names a family that is not known.
    """
    with safe_open(path, "numpy") as file:
        said = (file.metadata() or {}).get("any_rig", "{}")
    try:
        family = json.loads(said)["family"]
    except (ValueError, KeyError, TypeError):
        family = None
    if family not in families():
        raise UserError(
            f"{path} does not say for which rigs it was distilled; give a student of "
            f"{' or '.join(families())}, as any_rig.py and adapt write them"
        )
    return str(family)


def read_any(path: Path) -> Acting:
    """Read a student of any rig.

    Raises:
        UserError: it is missing, damaged, or another file.
    """
    if not path.is_file():
        raise UserError(f"no student at {path}; give the .safetensors of one for any rig")
    if path.stat().st_size > LARGEST_BYTES:
        raise UserError(f"{path} has {path.stat().st_size:,} bytes; a student has a few thousand")
    try:
        tensors = load_tensors(path.read_bytes())
    except SafetensorError as error:
        raise UserError(f"{path} is no safetensors file ({error}); copy it again") from error
    names = [field.name for field in fields(Acting)]
    if sorted(tensors) != sorted(names):
        raise UserError(f"{path} holds {sorted(tensors)}, which is no student for any rig")
    units = tensors["weight_hh"].shape[-1] if tensors["weight_hh"].ndim == 2 else 0
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih": (3 * units, SIGNALS + CONSTANTS),
        "weight_hh": (3 * units, units),
        "bias_ih": (3 * units,),
        "bias_hh": (3 * units,),
        "weight": (1, units),
        "bias": (1,),
    }
    for name, shape in shapes.items():
        array: Array = tensors[name]
        if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise UserError(
                f"{path}: {name} is {array.dtype} of shape {list(array.shape)}; a student of "
                f"{units} units has finite float32 of {list(shape)}"
            )
    return Acting(*(tensors[name] for name in names))
