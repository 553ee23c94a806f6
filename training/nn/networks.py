"""Networks that only act: plain numpy, or an ONNX graph in onnxruntime. Neither needs torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.policy.activations.argmax import argmax
from sparsectl.policy.actor_network import ActorNetwork
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.normalizer import Normalizer
from sparsectl.policy.onnx_file.output import values_in
from sparsectl.policy.tasks import CHOICE, TASK

Array = NDArray[np.float32]

ONNX_BYTES_LIMIT = 256 * 2**20

# Klambauer et al., Self-normalizing neural networks (2017), as in torch.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "leaky_relu": lambda x: np.where(x > 0, x, np.float32(0.01) * x),
    "sigmoid": lambda x: np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * x)),
    "silu": lambda x: x * np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * x)),
    "gelu": lambda x: np.float32(0.5) * x * (1 + scipy.special.erf(x / np.float32(np.sqrt(2.0)))),
    "selu": lambda x: (
        np.float32(SELU_SCALE)
        * np.where(x > 0, x, np.float32(SELU_ALPHA) * np.expm1(np.minimum(x, 0)))
    ),
    "softplus": lambda x: np.logaddexp(x, np.float32(0)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, np.float32(0))),
    "relu6": lambda x: np.clip(x, np.float32(0), np.float32(6)),
    "hardtanh": lambda x: np.clip(x, np.float32(-1), np.float32(1)),
    "hardsigmoid": lambda x: np.clip(x / np.float32(6) + np.float32(0.5), 0, 1),
    "hardswish": lambda x: x * np.clip(x / np.float32(6) + np.float32(0.5), 0, 1),
    "logsigmoid": lambda x: -np.logaddexp(-x, np.float32(0)),
    "tanhshrink": lambda x: x - np.tanh(x),
    "argmax": lambda x: argmax(x.T).T,
}
"""With torch's default parameters; argmax gives one number, [B, 1]."""


class Network(Protocol):
    """What maps observations [B, n] to actions [B, m], both float32 in physical units."""

    @property
    def observation_size(self) -> int: ...

    @property
    def action_size(self) -> int: ...

    def __call__(self, observations: Array) -> Array: ...


@dataclass(frozen=True)
class Mlp:
    """A multilayer perceptron between physical units, in float32.

    Attributes:
        weights: one [out, in] matrix a layer.
        biases: one [out] vector a layer.
        activations: one name of `ACTIVATIONS` a layer.
        observation_offset, observation_scale: [n]; normalised = (physical - offset) / scale.
        action_offset, action_scale, action_low, action_high: [m];
            physical = clip(normalised * scale + offset, low, high).
        convolution: where the first layer's weights, [out, patch], are applied; None: they are
            [out, in] like the others.
        heads: how many choices each task has, where the last layer gives the values of several
            tasks' choices; the action is one number a task then.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activations: tuple[str, ...]
    observation_offset: Array
    observation_scale: Array
    action_offset: Array
    action_scale: Array
    action_low: Array
    action_high: Array
    convolution: Convolution | None = None
    heads: tuple[int, ...] = ()

    @property
    def observation_size(self) -> int:
        return int(self.observation_offset.size)

    @property
    def action_size(self) -> int:
        return int(self.action_scale.size)

    def __call__(self, observations: Array) -> Array:
        """Actions [B, m] for observations [B, n]."""
        hidden: Array = (observations - self.observation_offset) / self.observation_scale
        if self.convolution is not None:
            hidden = self.convolution.patches(hidden)
        for weight, bias, activation in zip(
            self.weights, self.biases, self.activations, strict=True
        ):
            summed: Array = hidden @ weight.T + bias
            if activation == "argmax" and self.heads:
                parts = np.split(summed, np.cumsum(self.heads)[:-1], axis=1)
                hidden = np.concatenate([argmax(part.T).T for part in parts], axis=1)
            else:
                hidden = ACTIVATIONS[activation](summed)
            if hidden.ndim > 2:  # [B, places, channels]
                hidden = hidden.reshape(len(hidden), -1)
        physical = hidden * self.action_scale + self.action_offset
        # np.clip is twice as slow on a few numbers, and episodes call this once a step
        clipped: Array = np.minimum(np.maximum(physical, self.action_low), self.action_high)
        return clipped

    def before_argmax(self) -> Mlp:
        """The same without the argmax at its end: the values that it takes the greatest of."""
        size = self.weights[-1].shape[0]
        limits = np.full(size, -np.inf, np.float32), np.full(size, np.inf, np.float32)
        return replace(
            self,
            activations=(*self.activations[:-1], "identity"),
            action_offset=np.zeros(size, np.float32),
            action_scale=np.ones(size, np.float32),
            action_low=limits[0],
            action_high=limits[1],
        )


def mlp_of(actor: ActorNetwork) -> Mlp:
    """The acting network that an RL library saved as one that acts here."""
    inputs = actor.weights[0].shape[1]
    hidden = (actor.activation,) * (len(actor.weights) - 1)
    return Mlp(
        actor.weights,
        actor.biases,
        (*hidden, "tanh" if actor.squashed else "identity"),
        np.zeros(inputs, np.float32),
        np.ones(inputs, np.float32),
        actor.offset,
        actor.scale,
        actor.low,
        actor.high,
    )


class OnnxNetwork:
    """An ONNX graph with one input [batch, n] and one output [batch, m], on one thread.

    Of several outputs it takes the one whose name says that it gives Q-values or logits. An output
    of whole numbers, [batch] or [batch, 1], is the number of a choice.

    Of a graph whose batch is fixed, as torch writes it where no axis is said to be dynamic, so many
    observations at a time are asked.

    Raises:
        UserError: the file is missing, too large, not ONNX, or has other inputs and outputs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _check_size(path)
        self._session = _open_session(path)
        self._input, self.observation_size = _only(self._session.get_inputs(), "input", path)
        outputs = _without_tasks(self._session)
        valued = [value for value in outputs if values_in(value.name)]
        output = valued[0] if len(valued) == 1 else outputs[0]
        self.gives_index = len(outputs) == 1 and _is_index(output)
        if self.gives_index:
            self._output, self.action_size = output.name, 1
        else:
            self._output, self.action_size = _only(
                valued if len(valued) == 1 else outputs, "output", path
            )
        batch = self._session.get_inputs()[0].shape[0]
        self._batch: int | None = batch if isinstance(batch, int) and batch > 0 else None

    def __call__(self, observations: Array) -> Array:
        """Actions [B, m] for observations [B, n]."""
        if self._batch is None or self._batch == len(observations):
            return self._run(observations)
        groups = range(0, len(observations), self._batch)
        filled = np.resize(observations, (len(groups) * self._batch, self.observation_size))
        actions = [self._run(filled[first : first + self._batch]) for first in groups]
        return np.concatenate(actions)[: len(observations)]

    def _run(self, observations: Array) -> Array:
        given: Any = self._session.run([self._output], {self._input: observations})[0]
        actions: Array = given.reshape(-1, 1).astype(np.float32) if self.gives_index else given
        return actions

    def __reduce__(self) -> tuple[type[OnnxNetwork], tuple[Path]]:
        return OnnxNetwork, (self.path,)  # a worker process gets the path

    @property
    def values(self) -> str | None:
        """What it gives for each of a few choices: `q_values`, `logits`; None: it does not."""
        return values_in(self._output)

    @property
    def metadata(self) -> dict[str, str]:
        """The graph's metadata_props."""
        return dict(self._session.get_modelmeta().custom_metadata_map)


@dataclass(frozen=True)
class NormalizedNetwork:
    """A network behind its normaliser: from physical units, as every policy here."""

    normalizer: Normalizer
    network: Network

    @property
    def observation_size(self) -> int:
        return self.network.observation_size

    @property
    def action_size(self) -> int:
        return self.network.action_size

    def __call__(self, observations: Array) -> Array:
        """Actions [B, m] for observations [B, n]."""
        return self.network(self.normalizer(observations))


def _without_tasks(session: Any) -> list[Any]:
    """The outputs, but of a policy of several tasks that `export` wrote the action alone."""
    outputs: list[Any] = session.get_outputs()
    asked = {value.name for value in session.get_overridable_initializers()}
    return [value for value in outputs if TASK not in asked or value.name != CHOICE]


def _check_size(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if size > ONNX_BYTES_LIMIT:
        raise UserError(f"{path} has {size} bytes; a policy may have {ONNX_BYTES_LIMIT} at most")


def _open_session(path: Path) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # the error below says it once, in one line
    try:
        return onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NoSuchFile,
        errors.NotImplemented,
        errors.RuntimeException,
    ) as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(f"{path} is not an ONNX policy ({reason}); export it again") from error


def _is_index(value: Any) -> bool:
    whole = value.type in ("tensor(int64)", "tensor(int32)")
    return whole and (len(value.shape) == 1 or (len(value.shape) == 2 and value.shape[1] == 1))


def _only(values: list[Any], kind: str, path: Path) -> tuple[str, int]:
    if len(values) != 1:
        names = ", ".join(value.name for value in values)
        raise UserError(f"{path} has {len(values)} {kind}s ({names}); a policy has exactly one")
    value = values[0]
    if value.type != "tensor(float)" or len(value.shape) != 2 or type(value.shape[1]) is not int:
        raise UserError(
            f"{path}: {kind} {value.name} is {value.type} {value.shape}; "
            "a policy takes and gives float32 [batch, size] with a fixed size"
        )
    return value.name, value.shape[1]
