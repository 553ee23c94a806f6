"""Load a policy of any kind, from a file or a folder, as a PolicyGraph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.actor_file import ACTORS, read_actor
from sparsectl.policy.actor_onnx import as_onnx
from sparsectl.policy.folder import check_unchanged, names_hash, read_policy_json
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.lost_normaliser import warn_of_normaliser
from sparsectl.policy.model_file import check_model_file
from sparsectl.policy.normalizer import read_normalizer
from sparsectl.policy.onnx_file.reader import graph_of, read_onnx
from sparsectl.policy.signals import INDEX
from sparsectl.policy.state_dict import POLICY_BYTES_LIMIT
from sparsectl.policy.student import read_student

POLICY_ONNX = "policy.onnx"
"""Name of the ONNX file in a folder that `sparsectl export` writes."""

_HINT = "torch.onnx.export makes an .onnx of any torch model"


@dataclass(frozen=True)
class Asked:
    """Options for loading a file.

    Attributes:
        output: for an ONNX file, the output with the actions; None: found by its name.
        normalizer: for a file of `actor_file.ACTORS`, the .npz of its normaliser.
        task: for a student of several tasks, the one whose head is taken; None: all.
    """

    output: str | None = None
    normalizer: Path | None = None
    task: int | None = None


def load(path: Path, asked: Asked = Asked()) -> PolicyGraph:
    """Load the policy in a student.safetensors, an .onnx, a Stable-Baselines3 .zip, a
    .cleanrl_model or a folder of `sparsectl export`. No code in the file is run, and nothing is
    unpickled.

    Raises:
        UserError: the file is of another kind, an option does not apply to its kind, or its reader
            refuses it.
        ModuleNotFoundError: the file is an RL library's, and torch, which reads its weights, is not
            installed.
    """
    path = model_file(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path} is not a model that can be read; give a file that ends in "
            f"{', '.join(READERS)}, or a folder of `sparsectl export` ({_HINT})"
        )
    return reader(path, asked)


def model_file(path: Path) -> Path:
    """Return the file itself or, in a folder that export wrote, its policy.onnx.

    Raises:
        UserError: policy.onnx is not the file that the folder's policy.json was written with, so it
            may be another policy than the C beside it.
    """
    if not path.is_dir():
        return path
    model, said = path / POLICY_ONNX, read_policy_json(path)
    if model.is_file() and said is not None and names_hash(said, POLICY_ONNX):
        check_unchanged(path, POLICY_ONNX, said)
    return model


def _student(path: Path, asked: Asked) -> PolicyGraph:
    _refuse("output", asked.output, "ONNX files", f"{path} is a student")
    _refuse_normalizer(path, asked, "a student, which has its own")
    return read_student(path, asked.task)


def _onnx(path: Path, asked: Asked) -> PolicyGraph:
    _refuse_normalizer(path, asked, "an ONNX file; export it with its normaliser in it")
    _refuse("task", asked.task, "students of several tasks", f"{path} is an ONNX file")
    return read_onnx(path, asked.output)


def _actor(path: Path, asked: Asked) -> PolicyGraph:
    what_it_is = f"{path} is the actor of one task"
    _refuse("output", asked.output, "ONNX files", what_it_is)
    _refuse("task", asked.task, "students of several tasks", what_it_is)
    check_model_file(path, POLICY_BYTES_LIMIT)
    actor = read_actor(path)
    normalizer = read_normalizer(asked.normalizer) if asked.normalizer else None
    if normalizer is None:
        warn_of_normaliser(path)
    elif normalizer.mean.size != actor.weights[0].shape[1]:
        raise UserError(
            f"{asked.normalizer} normalises {normalizer.mean.size} observations, {path} takes "
            f"{actor.weights[0].shape[1]}; give the one it was trained with"
        )
    try:
        graph = graph_of(as_onnx(actor, normalizer), path.parent)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if actor.choices is not None:
        first, last = float(actor.choices.first), float(actor.choices.last)
        signal = replace(graph.action[0], unit=INDEX, low=first, high=last)
        return replace(graph, action=(signal,))
    if not np.isfinite([actor.low, actor.high]).all():  # the environment's to clip
        return graph
    limits = zip(graph.action, actor.low.tolist(), actor.high.tolist(), strict=True)
    return replace(graph, action=tuple(replace(s, low=low, high=high) for s, low, high in limits))


def _refuse(name: str, value: object, meant_for: str, what_it_is: str) -> None:
    if value is not None:
        raise UserError(f"--{name} is {str(value)!r}; it is for {meant_for}, {what_it_is}")


def _refuse_normalizer(path: Path, asked: Asked, what_it_is: str) -> None:
    _refuse(
        "normalizer",
        asked.normalizer,
        "files of Stable-Baselines3 and CleanRL",
        f"{path} is {what_it_is}",
    )


READERS: dict[str, Callable[[Path, Asked], PolicyGraph]] = {
    ".safetensors": _student,
    ".onnx": _onnx,
    **dict.fromkeys(ACTORS, _actor),
}
