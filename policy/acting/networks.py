"""Networks that act on the host in numpy, many observations at a time; none needs torch.

A PolicyGraph computes what the C computes, bit for bit, and is limited to what fits a
microcontroller. These networks have neither property: they are as fast as numpy is, and a teacher
may be of any size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from sparsectl.policy.activations.argmax import argmax
from sparsectl.policy.actor_network import ActorNetwork
from sparsectl.policy.convolution import Convolution
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.normalizer import Normalizer

Array = NDArray[np.float32]

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
"""Compute activations as torch does in float32, with its default parameters; `policy.activations`
has them as the C computes them. argmax gives one number, [B, 1]."""


class Network(Protocol):
    """Maps observations [B, n] to actions [B, m], both float32 in physical units."""

    @property
    def observation_size(self) -> int: ...

    @property
    def action_size(self) -> int: ...

    def __call__(self, observations: Array) -> Array: ...


@dataclass(frozen=True)
class Mlp:
    """A multilayer perceptron between physical units, in float32.

    Attributes:
        weights: one [out, in] matrix per layer.
        biases: one [out] vector per layer.
        activations: one name of `ACTIVATIONS` per layer.
        observation_offset, observation_scale: [n]; normalised = (physical - offset) / scale.
        action_offset, action_scale, action_low, action_high: [m];
            physical = clip(normalised * scale + offset, low, high).
        convolution: where the first layer's weights, [out, patch], are applied; None: they are
            [out, in] like the others.
        heads: number of choices of each task, if the last layer gives the values of several
            tasks' choices; the action is then one number per task.
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
        """Return actions [B, m] for observations [B, n]."""
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
        """Return the network without the argmax at its end: it gives the values of the choices."""
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
    """Return the acting network that an RL library saved, in numpy; it has no LSTM cells."""
    hidden = (actor.activation,) * (len(actor.weights) - 1)
    return Mlp(
        actor.weights,
        actor.biases,
        (*hidden, "tanh" if actor.squashed else "identity"),
        *actor.normaliser,
        actor.offset,
        actor.scale,
        actor.low,
        actor.high,
    )


@dataclass(frozen=True)
class NormalizedNetwork:
    """A network behind its normaliser; it takes physical units, like every policy here."""

    normalizer: Normalizer
    network: Network

    @property
    def observation_size(self) -> int:
        return self.network.observation_size

    @property
    def action_size(self) -> int:
        return self.network.action_size

    def __call__(self, observations: Array) -> Array:
        """Return actions [B, m] for observations [B, n]."""
        return self.network(self.normalizer(observations))


@dataclass(frozen=True)
class GraphNetwork:
    """A policy as export reads it, in the C's order of operations."""

    graph: PolicyGraph

    @property
    def observation_size(self) -> int:
        return self.graph.observation_size

    @property
    def action_size(self) -> int:
        return self.graph.action_size

    def __call__(self, observations: Array) -> Array:
        """Return actions [B, m] for observations [B, n]."""
        return self.graph.forward(observations)
