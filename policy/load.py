"""Load a policy of any kind, from a file or a folder.

`load` gives it as a PolicyGraph, which can be exported; `load_acting` gives it as it acts on the
host, with no limit on the kind of its layers.

No code in a file is run, and nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx

from sparsectl.common.errors import UserError
from sparsectl.policy.acting.networks import GraphNetwork, Mlp, NormalizedNetwork, mlp_of
from sparsectl.policy.acting.onnx_network import BYTES_LIMIT, OnnxNetwork, OtherForm
from sparsectl.policy.acting.policy import ActingPolicy, without_argmax
from sparsectl.policy.acting.states import RecurrentNetwork
from sparsectl.policy.actor_file import ACTORS, is_actor, read_actor
from sparsectl.policy.actor_network import ActorNetwork
from sparsectl.policy.actor_onnx import as_onnx
from sparsectl.policy.choices import Choices, choices_of
from sparsectl.policy.folder import check_unchanged, names_hash, read_policy_json
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.lost_normaliser import warn_of_normaliser
from sparsectl.policy.mistaken_choices import warn_of_count, warn_of_mean, warn_of_values
from sparsectl.policy.model_file import check_model_file
from sparsectl.policy.normalizer import Normalizer, read_normalizer
from sparsectl.policy.onnx_file.output import choose_output, values_in
from sparsectl.policy.onnx_file.reader import graph_of, read_onnx
from sparsectl.policy.onnx_file.ticks import CELLS
from sparsectl.policy.signals import INDEX
from sparsectl.policy.state_dict import POLICY_BYTES_LIMIT
from sparsectl.policy.student import read_student, recurrent_student
from sparsectl.policy.student_file import read_student_file
from sparsectl.policy.tasks import check_task, said

POLICY_ONNX = "policy.onnx"
"""Name of the ONNX file in a folder that `sparsectl export` writes."""

_Loaded = TypeVar("_Loaded")
Readers = dict[str, Callable[[Path, "LoadOptions"], _Loaded]]
_ACTOR_FILES = "files of Stable-Baselines3 and CleanRL"
_HINT = "torch.onnx.export makes an .onnx of any torch model"


@dataclass(frozen=True)
class LoadOptions:
    """Options for loading a file.

    Attributes:
        output: for an ONNX file that is exported, the output with the actions; None: found by its
            name.
        argmax: of an ONNX file that is exported, the action is the index of the greatest of the
            output's values.
        normalizer: an .npz of a normaliser's statistics; `load` takes it for the files of
            `actor_file.ACTORS` alone.
        task: for a student of several tasks, the one whose head is taken. None: `load` takes all
            heads, `load_acting` that of `environment`.
        activation: of the hidden layers, if a file of `actor_file.ACTORS` does not name it.
        action_low, action_high: the bounds of the actions, if such a file does not have them.
        environment: Gymnasium id that chooses the task, if `task` is None.
    """

    output: str | None = None
    normalizer: Path | None = None
    task: int | None = None
    activation: str | None = None
    action_low: Sequence[float] | None = None
    action_high: Sequence[float] | None = None
    environment: str | None = None
    argmax: bool = False


def load(path: Path, asked: LoadOptions = LoadOptions()) -> PolicyGraph:
    """Load the policy in a student.safetensors, an .onnx, a Stable-Baselines3 .zip, a
    .cleanrl_model or a folder of `sparsectl export` as a PolicyGraph.

    Raises:
        UserError: the file is of another kind, an option does not apply to its kind, or its reader
            refuses it.
        ModuleNotFoundError: the file is an RL library's, and torch, which reads its weights, is not
            installed.
    """
    path = model_file(path)
    return _reader(READERS, path)(path, asked)


def load_acting(path: Path, asked: LoadOptions = LoadOptions()) -> ActingPolicy:
    """Load the policy in a file of the same kinds as it acts on the host.

    An MLP of a student or of an RL library acts in numpy, what keeps a state by its PolicyGraph,
    and any other ONNX graph through onnxruntime.

    Raises:
        UserError: the file is missing, truncated, foreign or hostile, the normaliser does not fit
            it, or an option does not apply to its kind.
    """
    path = model_file(path)
    reader = _reader(ACTING_READERS, path)
    if not is_actor(path):
        _refuse("activation", asked.activation, _ACTOR_FILES, f"{path} names its own")
    graph = _recurrent(path, asked)
    if graph is not None:
        return _graph_policy(graph, path)
    policy = reader(path, asked)
    if asked.normalizer is None or policy.recurrent is not None:
        return policy  # of a policy with a state the normaliser is among its layers
    normalizer = _fitting_normalizer(asked.normalizer, path, policy.observation_size)
    network = NormalizedNetwork(normalizer, policy.network)
    return replace(policy, network=network, normalizer_sha256=normalizer.sha256)


def _reader(readers: Readers[_Loaded], path: Path) -> Callable[[Path, LoadOptions], _Loaded]:
    reader = readers.get(path.suffix.lower())
    if reader is None and not path.exists():
        raise UserError(f"{path} does not exist; give a file that ends in {', '.join(READERS)}")
    if reader is None:
        raise UserError(
            f"{path} is not a policy that can be read; give a file that ends in "
            f"{', '.join(READERS)}, or a folder of `sparsectl export` ({_HINT})"
        )
    return reader


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


def _student(path: Path, asked: LoadOptions) -> PolicyGraph:
    _refuse("output", asked.output, "ONNX files", f"{path} is a student")
    _refuse("argmax", asked.argmax, "ONNX files", f"{path} is a student")
    _refuse_normalizer(path, asked, "a student, which has its own")
    return read_student(path, asked.task)


def _onnx(path: Path, asked: LoadOptions) -> PolicyGraph:
    _refuse_normalizer(path, asked, "an ONNX file; export it with its normaliser in it")
    _refuse("task", asked.task, "students of several tasks", f"{path} is an ONNX file")
    graph = read_onnx(path, asked.output, asked.argmax)
    if asked.argmax:
        warn_of_mean(path, asked.output)
        last = float(graph.layers[-1].parts[0].neurons - 1)
        signal = replace(graph.action[0], unit=INDEX, low=0.0, high=last)
        return replace(graph, action=(signal,))
    warn_of_values(path, graph, asked.output)
    return graph


def _exported_actor(path: Path, asked: LoadOptions) -> PolicyGraph:
    _refuse("output", asked.output, "ONNX files", f"{path} is the actor of one task")
    _refuse("argmax", asked.argmax, "ONNX files", f"{path} says itself whether it chooses")
    actor = _actor(path, asked)
    return _graph_of_actor(path, asked, actor)


def _graph_of_actor(path: Path, asked: LoadOptions, actor: ActorNetwork) -> PolicyGraph:
    normalizer = None
    if asked.normalizer is not None:
        normalizer = _fitting_normalizer(asked.normalizer, path, actor.observation_size)
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


def _actor(path: Path, asked: LoadOptions) -> ActorNetwork:
    """Read what an RL library saved, and warn if a normaliser that it was trained behind is not
    given."""
    _refuse("task", asked.task, "students of several tasks", f"{path} is the actor of one task")
    check_model_file(path, POLICY_BYTES_LIMIT)
    actor = read_actor(path, asked.activation, asked.action_low, asked.action_high)
    if asked.normalizer is None:
        warn_of_normaliser(path)
    if actor.choices is not None and actor.choices.first:
        warn_of_count(path, actor.choices)
    return actor


def _fitting_normalizer(file: Path, path: Path, size: int) -> Normalizer:
    normalizer = read_normalizer(file)
    if normalizer.mean.size != size:
        raise UserError(
            f"{file} normalises {normalizer.mean.size} observations, {path} takes {size}; give "
            "the one it was trained with"
        )
    return normalizer


def _acting_student(path: Path, asked: LoadOptions) -> ActingPolicy:
    student = read_student_file(path)
    task = asked.task
    if task is not None:
        check_task(student.tasks, task, path)
    elif student.tasks:
        environments = [one.get("environment") for one in student.tasks]
        if (count := environments.count(asked.environment)) != 1:
            which = (
                f", {count or 'none'} of them in {asked.environment}" if asked.environment else ""
            )
            raise UserError(f"{path} has the tasks {said(student.tasks)}{which}; give --task")
        task = environments.index(asked.environment)
    if task is not None:
        student = student.of_task(task)
    signals = student.metadata["signals"]
    network, choices = without_argmax(student.network(), signals)
    return _mlp_policy(network, path, choices, signals, student.metadata.get("environment"))


def _acting_actor(path: Path, asked: LoadOptions) -> ActingPolicy:
    actor = _actor(path, asked)
    if not actor.lstm:
        return _mlp_policy(mlp_of(actor), path, actor.choices)
    policy = _graph_policy(_graph_of_actor(path, asked, actor), path)
    given = asked.normalizer and read_normalizer(asked.normalizer)
    return replace(policy, normalizer_sha256=given.sha256) if given else policy


def _mlp_policy(
    network: Mlp,
    path: Path,
    choices: Choices | None,
    signals: dict[str, Any] | None = None,
    environment: str | None = None,
) -> ActingPolicy:
    weights = sum(array.size for array in network.weights)
    parameters = weights + sum(array.size for array in network.biases)
    sha256 = _file_sha256(path)
    return ActingPolicy(network, parameters, sha256, signals, environment, weights, None, choices)


def _acting_onnx(path: Path, asked: LoadOptions) -> ActingPolicy:
    _refuse("task", asked.task, "students of several tasks", f"{path} is an ONNX file")
    try:
        network = OnnxNetwork(path)
    except OtherForm:  # several inputs, images, other types: what the exporter reads
        policy = _graph_policy(read_onnx(path), path, _values_of(path))
        return replace(policy, image=_image_taken(path), inputs=_inputs_taken(policy, path))
    text = network.metadata.get("sparsectl.signals")
    try:
        signals = json.loads(text) if text else None
    except ValueError as error:
        raise UserError(f"{path}: sparsectl.signals is not JSON; export it again") from error
    parameters, weights = network.sizes()
    environment = network.metadata.get("sparsectl.environment") or None
    choices = network.choices(signals)
    sha256 = _file_sha256(path)
    return ActingPolicy(network, parameters, sha256, signals, environment, weights, choices=choices)


def _recurrent(path: Path, asked: LoadOptions) -> PolicyGraph | None:
    """Return the policy in a file if it keeps a state; None: its action depends on the observation
    alone, or the file is refused by the reader of its kind."""
    kind = path.suffix.lower()
    if kind == ".safetensors":
        graph = recurrent_student(path, asked.task)
    elif kind == ".onnx" and _may_keep_state(path):
        graph = read_onnx(path)
    else:
        return None
    if graph is None or not graph.state_size:
        return None
    _refuse("task", asked.task, "students of several tasks", f"{path} is of one task")
    _refuse("normalizer", asked.normalizer, "policies without one", f"{path} has its own")
    return graph


def _may_keep_state(path: Path) -> bool:
    """Return whether an ONNX file has recurrent operators, or several inputs and outputs. This
    takes little time, unlike reading the rest of its graph."""
    try:
        check_model_file(path, BYTES_LIMIT)  # reading a pipe or a device might never end
        model: Any = onnx.load(path, load_external_data=False)
    except Exception:  # a file that is not ONNX, or too large, is refused by its reader
        return False
    graph = model.graph
    held = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in held]
    has_more = len(inputs) > 1 and len(graph.output) > 1
    nodes = chain(graph.node, *(function.node for function in model.functions))
    return has_more or any(node.op_type in CELLS for node in nodes)


def _graph_policy(graph: PolicyGraph, path: Path, values: str | None = None) -> ActingPolicy:
    """Return the policy that acts as a graph computes.

    values: the kind of value of a choice that each of its actions is.
    """
    biases = sum(int(np.count_nonzero(layer.bias)) for layer in graph.layers)
    signals = graph.signals()
    choices = choices_of(signals) or index_of(graph)
    if values is not None and graph.action_size > 1 and choices is None:
        choices = Choices(0, graph.action_size, values)
    return ActingPolicy(
        RecurrentNetwork(graph) if graph.state_size else GraphNetwork(graph),
        graph.kept_weights + biases,
        _file_sha256(path),
        signals,
        graph.environment,
        graph.kept_weights,
        choices=choices,
    )


def index_of(graph: PolicyGraph) -> Choices | None:
    """Return the choices of a foreign file whose only action is the index of the greatest value."""
    parts, action = graph.layers[-1].parts, graph.action
    if len(action) != 1 or parts[0].activation != "argmax" or action[0].scale != 1:
        return None
    return Choices(round(action[0].offset), parts[0].neurons)


def _image_taken(path: Path) -> tuple[int, ...] | None:
    """The sizes of the image that is an ONNX file's only input; None: it takes something else."""
    graph: Any = onnx.load(path, load_external_data=False).graph
    held = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in held]
    sizes = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim][1:]
    return tuple(sizes) if len(inputs) == 1 and len(sizes) == 3 and min(sizes) > 0 else None


def _inputs_taken(policy: ActingPolicy, path: Path) -> tuple[str, ...]:
    """Return the inputs of an ONNX file whose numbers are a policy's observation, if there are
    several; the signals are called after them."""
    graph: Any = onnx.load(path, load_external_data=False).graph
    signals = (policy.signals or {}).get("observation", [])
    called = {signal["name"] for signal in signals}
    found = [value.name for value in graph.input if {value.name, f"{value.name}0"} & called]
    return tuple(found) if len(found) > 1 else ()


def _values_of(path: Path) -> str | None:
    """Return the kind of value that the output of an ONNX file gives for each choice, by its
    name."""
    names = [output.name for output in onnx.load(path, load_external_data=False).graph.output]
    return values_in(choose_output(names))


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse(name: str, value: object, meant_for: str, what_it_is: str) -> None:
    if value is not None and value is not False:
        given = "given" if value is True else repr(str(value))
        raise UserError(f"--{name} is {given}; it is for {meant_for}, {what_it_is}")


def _refuse_normalizer(path: Path, asked: LoadOptions, what_it_is: str) -> None:
    _refuse("normalizer", asked.normalizer, _ACTOR_FILES, f"{path} is {what_it_is}")


READERS: Readers[PolicyGraph] = {
    ".safetensors": _student,
    ".onnx": _onnx,
    **dict.fromkeys(ACTORS, _exported_actor),
}
ACTING_READERS: Readers[ActingPolicy] = {
    ".safetensors": _acting_student,
    ".onnx": _acting_onnx,
    **dict.fromkeys(ACTORS, _acting_actor),
}
