"""Checkpoints of a distillation: one safetensors file, whole or absent, without a pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import save_file
from torch import Tensor

from sparsectl.common.errors import UserError
from sparsectl.common.safetensors_file import write_safetensors

FORMAT = "sparsectl.checkpoint"
VERSION = 1
ANEW = "give --restart, or remove checkpoint.safetensors, to start again"
"""The mend where a run cannot be resumed. A task of a sweep has a folder, but takes no option."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a distillation.

    Attributes:
        run: identifies the run: settings and the dataset's digest, as JSON.
        stage: index in the run's list of stages.
        steps: number of updates so far, by trainer.
        report: results of the finished stages, as JSON.
        seconds: duration of the run so far.
        tensors: the state of the stage, and of those before it that it needs.
    """

    run: dict[str, Any]
    stage: int
    steps: dict[str, int]
    report: list[dict[str, Any]]
    seconds: float
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with `prefix`, by the rest of their names."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


FIELDS = ("run", "stage", "steps", "report", "seconds")


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint atomically: a kill leaves the previous one."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        **{key: getattr(checkpoint, key) for key in FIELDS},
    }
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()
    }
    metadata = {"sparsectl": json.dumps(header, allow_nan=False)}
    write_safetensors(path, save_file, tensors, metadata)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        UserError: the file is damaged, or of another program or version.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("sparsectl", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is not a complete checkpoint ({error}); {ANEW}") from error
    if not isinstance(header, dict) or (header.get("format"), header.get("version")) != (
        FORMAT,
        VERSION,
    ):
        raise UserError(f"{path} is not a checkpoint of this version; {ANEW}")
    return Checkpoint(**{key: header[key] for key in FIELDS}, tensors=tensors)
