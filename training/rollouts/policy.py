"""Load policies from files: those of RL libraries, ONNX, student.safetensors, policy folder.

Nothing is unpickled: loading a policy that someone sent runs none of their code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.policy.activations.argmax import argmax
from sparsectl.policy.actor_file import is_actor, read_actor
from sparsectl.policy.choices import LOGITS, Choices
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.lost_normaliser import warn_of_normaliser
from sparsectl.policy.normalizer import read_normalizer
from sparsectl.policy.tasks import check_task, said
from sparsectl.training.environments.signals import choices_of
from sparsectl.training.nn.networks import (
    Array,
    Mlp,
    Network,
    NormalizedNetwork,
    OnnxNetwork,
    mlp_of,
)
from sparsectl.training.rollouts.acting import Recurrent, RecurrentNetwork, recurrent_graph
from sparsectl.training.students.storage import read_student

JSON = dict[str, Any]

MEND = "give an SB3 .zip, a .cleanrl_model, an .onnx or a student.safetensors"


@dataclass(frozen=True)
class Policy:
    """A deterministic policy in the environment's physical units; it travels to worker processes.

    Attributes:
        network: observations [B, n] → actions [B, m].
        parameters: number of weights and biases of the acting network, including zeros.
        sha256: of its file, hex.
        signals: names, units, scales and limits of observations and actions, if the file contains
            them.
        environment: Gymnasium id of the environment that it was trained in, if the file contains
            it.
        weights: number of weights without biases, if it is known.
        normalizer_sha256: of the file of its normaliser, where one was given.
        choices: where it takes one of a few. With `choices.values` the network gives a value for
            each choice; without, the number of the choice.
    """

    network: Network
    parameters: int
    sha256: str
    signals: JSON | None = None
    environment: str | None = None
    weights: int | None = None
    normalizer_sha256: str | None = None
    choices: Choices | None = None

    @property
    def observation_size(self) -> int:
        return self.network.observation_size

    @property
    def action_size(self) -> int:
        return self.network.action_size if self.choices is None else 1

    def facts(self) -> JSON:
        """The facts about their teacher that datasets and students keep."""
        facts: JSON = {"parameters": self.parameters, "weights": self.weights}
        facts["sha256"] = self.sha256
        if self.normalizer_sha256 is not None:
            facts["normalizer_sha256"] = self.normalizer_sha256
        return facts

    @property
    def identity(self) -> str:
        """Identifies the policy: the digest of its file, and of its normaliser's."""
        return "+".join(filter(None, [self.sha256, self.normalizer_sha256]))

    @property
    def recurrent(self) -> PolicyGraph | None:
        """The policy where it keeps a state; None: its action depends on the observation alone."""
        return self.network.graph if isinstance(self.network, RecurrentNetwork) else None

    @property
    def acting(self) -> Callable[[Array], Array] | Recurrent:
        """How it acts in episodes: `act`, or the tick of a policy with a state."""
        graph = self.recurrent
        if graph is None:
            return self.act
        return Recurrent(graph.step_graph.forward, graph.initial_state())

    def run(self, observations: Array) -> Array:
        """Actions [N, m] for the observations [N, n] of one episode, one tick after another.

        Raises:
            UserError: as `act`.
        """
        graph = self.recurrent
        return self.act(observations) if graph is None else graph.run(observations)

    def act(self, observations: Array) -> Array:
        """Deterministic actions [B, m] for observations [B, n], float32; of a policy that chooses
        the number of the choice with the greatest value, the first of equals, [B, 1].

        Raises:
            UserError: the observations have another size than the policy's, or it keeps a state.
        """
        outputs = self._outputs(observations)
        if self.choices is None or self.values_kind is None:
            return outputs
        return argmax(outputs.T).T + np.float32(self.choices.first)

    def values(self, observations: Array) -> Array | None:
        """Q-values or logits [B, choices] for observations [B, n], float32; None where the policy
        does not say them.

        Raises:
            UserError: the observations have another size than the policy's.
        """
        return None if self.values_kind is None else self._outputs(observations)

    @property
    def values_kind(self) -> str | None:
        """The kind of values that it gives: `q_values`, `logits`; None: none."""
        return None if self.choices is None else self.choices.values

    def _outputs(self, observations: Array) -> Array:
        observations = np.asarray(observations, dtype=np.float32)
        if observations.ndim != 2 or observations.shape[1] != self.observation_size:
            raise UserError(
                f"observations of shape {observations.shape} do not fit a policy that takes "
                f"[batch, {self.observation_size}]; use the environment it was trained in"
            )
        return self.network(observations)


def load_policy(
    path: Path,
    *,
    activation: str | None = None,
    action_low: Sequence[float] | None = None,
    action_high: Sequence[float] | None = None,
    normalizer: Path | None = None,
    task: int | None = None,
    env: str | None = None,
) -> Policy:
    """Load a policy of any form.

    Args:
        path: a Stable-Baselines3 `.zip`, a `.cleanrl_model`, an `.onnx`, a `.safetensors` student,
            or a folder that holds `policy.onnx`.
        activation: of the hidden layers, where the zip or CleanRL's file does not say.
        action_low, action_high: bounds of the actions, where the file does not say them.
        normalizer: an .npz of what is done to observations before the policy sees them.
        task: of a student of several, which; its head alone is taken, for its own observations.
        env: names the task, where `task` is not given.

    Raises:
        UserError: the file is missing, truncated, foreign or hostile, the normaliser does not fit
            it, or an activation is given for a file that says its own.
    """
    if activation is not None and not is_actor(path):
        raise UserError(
            f"--activation is {activation}, but {path} says its own; it is for files of "
            "Stable-Baselines3 and CleanRL, leave it out"
        )
    if (graph := _recurrent_graph(path)) is not None:
        policy = _recurrent(graph, path, task, normalizer)
    elif path.suffix == ".safetensors":
        policy = _from_student(path, task, env)
    elif task is not None:
        raise UserError(
            f"task is {task}, but {path} is no student.safetensors of several; leave it out, or "
            f"export the student with --task {task}"
        )
    else:
        policy = _loaded(path, activation, action_low, action_high)
    if normalizer is None:
        if is_actor(path):
            warn_of_normaliser(path)
        return policy
    before = read_normalizer(normalizer)
    if before.mean.size != policy.observation_size:
        raise UserError(
            f"{normalizer} normalises {before.mean.size} observations, {path} takes "
            f"{policy.observation_size}; give the one it was trained with"
        )
    network = NormalizedNetwork(before, policy.network)
    return replace(policy, network=network, normalizer_sha256=before.sha256)


def _recurrent_graph(path: Path) -> PolicyGraph | None:
    path = path / "policy.onnx" if path.is_dir() else path
    return recurrent_graph(path) if path.is_file() else None


def _recurrent(graph: PolicyGraph, path: Path, task: int | None, normalizer: Path | None) -> Policy:
    if task is not None:
        raise UserError(f"task is {task}, but {path} is no student of several; leave it out")
    if normalizer is not None:
        raise UserError(
            f"normalizer is {normalizer}, but {path} keeps a state and has its own; leave it out"
        )
    biases = sum(int(np.count_nonzero(layer.bias)) for layer in graph.layers)
    return Policy(
        RecurrentNetwork(graph),
        graph.kept_weights + biases,
        file_sha256(path / "policy.onnx" if path.is_dir() else path),
        graph.signals(),
        graph.environment,
        graph.kept_weights,
    )


def _loaded(
    path: Path,
    activation: str | None,
    action_low: Sequence[float] | None,
    action_high: Sequence[float] | None,
) -> Policy:
    if path.is_dir():
        path = path / "policy.onnx"
    if not path.is_file():
        raise UserError(f"no policy at {path}; {MEND}")
    if path.suffix == ".onnx":
        return _from_onnx(path)
    if is_actor(path):
        actor = read_actor(path, activation, action_low, action_high)
        network = mlp_of(actor)
        sizes = _count(network), file_sha256(path)
        weights = _count_weights(network)
        return Policy(network, *sizes, weights=weights, choices=actor.choices)
    raise UserError(f"{path} is not a policy: {path.suffix or 'no'} extension; {MEND}")


def file_sha256(path: Path) -> str:
    """The file's SHA-256, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_onnx(path: Path) -> Policy:
    network = OnnxNetwork(path)
    metadata = network.metadata
    signals = metadata.get("sparsectl.signals")
    try:
        parsed = json.loads(signals) if signals else None
    except ValueError as error:
        raise UserError(f"{path}: sparsectl.signals is not JSON; export it again") from error
    parameters, weights = _count_onnx(path)
    environment = metadata.get("sparsectl.environment") or None
    choices = _choices_of_onnx(path, network, parsed)
    sha256 = file_sha256(path)
    return Policy(network, parameters, sha256, parsed, environment, weights, choices=choices)


def _choices_of_onnx(path: Path, network: OnnxNetwork, signals: JSON | None) -> Choices | None:
    """Return the choices from its signals, or else from type and name of its output."""
    said = choices_of(signals)
    if said is None and signals is not None and "action" in signals:
        return None  # real numbers, whatever the output is called
    if network.values is not None and network.action_size > 1:
        if said is not None and said.count != network.action_size:
            raise UserError(
                f"{path} gives {network.action_size} {network.values}, but its signals say "
                f"{said.count} choices; export it again"
            )
        first, levels = (said.first, said.levels) if said else (0, ())
        return Choices(first, network.action_size, network.values, levels)
    return said or (Choices(0, 0) if network.gives_index else None)


def _from_student(path: Path, task: int | None, env: str | None) -> Policy:
    if not path.is_file():
        raise UserError(f"no policy at {path}; {MEND}")
    student = read_student(path)
    if task is not None:
        check_task(student.tasks, task, path)
    elif student.tasks:
        named = [i for i, one in enumerate(student.tasks) if one.get("environment") == env]
        if len(named) != 1:
            raise UserError(f"{path} has the tasks {said(student.tasks)}; give --task")
        task = named[0]
    if task is not None:
        student = student.of_task(task)
    network = student.network()
    network, choices = choosing(network, student.metadata["signals"])
    return Policy(
        network,
        _count(network),
        file_sha256(path),
        student.metadata["signals"],
        student.metadata.get("environment"),
        _count_weights(network),
        choices=choices,
    )


def choosing(network: Mlp, signals: JSON) -> tuple[Mlp, Choices | None]:
    """Return a student's network, without its argmax if its action is discrete, and its choices."""
    choices = choices_of(signals)
    if choices is None or network.activations[-1] != "argmax":
        return network, choices
    return network.before_argmax(), replace(choices, values=LOGITS)


def _count(network: Mlp) -> int:
    return sum(array.size for array in (*network.weights, *network.biases))


def _count_weights(network: Mlp) -> int:
    return sum(array.size for array in network.weights)


def _count_onnx(path: Path) -> tuple[int, int]:
    """Elements of the constants that layers use, and of them those of their matrices.

    Those of a normaliser before the layers count in neither.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
    sizes |= {sparse.values.name: int(np.prod(sparse.dims)) for sparse in graph.sparse_initializer}
    sizes |= {
        node.output[0]: int(np.prod(attribute.t.dims))
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.HasField("t")
    }
    products = {output for node in graph.node if node.op_type == "MatMul" for output in node.output}
    layers = [node for node in graph.node if node.op_type in {"Gemm", "MatMul", "Conv"}]
    matrices = {name for node in layers for name in node.input[:2]}
    biases = {name for node in layers for name in node.input[2:]} | {
        name
        for node in graph.node
        if node.op_type == "Add" and products.intersection(node.input)
        for name in node.input
    }
    parameters = sum(sizes.get(name, 0) for name in matrices | biases)
    return parameters, sum(sizes.get(name, 0) for name in matrices)
