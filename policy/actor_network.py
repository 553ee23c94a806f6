"""The acting network of an algorithm, as its library saved it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsectl.policy.choices import Choices
from sparsectl.policy.state_dict import Array


@dataclass(frozen=True)
class Lstm:
    """A layer of LSTM cells, with arrays as `torch.nn.LSTM` has them, the rows of i, f, g and o.

    (i, f, g, o) = W x + b + U h + c, each row's sum; then, with the sigmoid s,
    cell' = s(f) cell + s(i) tanh(g) and h' = s(o) tanh(cell').
    """

    weight_ih: Array
    """W, [4 units, inputs]."""
    weight_hh: Array
    """U, [4 units, units]."""
    bias_ih: Array
    """b, [4 units]."""
    bias_hh: Array
    """c, [4 units]."""

    @property
    def units(self) -> int:
        return int(self.weight_hh.shape[1])

    @property
    def inputs(self) -> int:
        return int(self.weight_ih.shape[1])


@dataclass(frozen=True)
class ActorNetwork:
    """The network that acts: physical = clip(normalised * scale + offset, low, high).

    Layers of LSTM cells, if there are any, come first and keep a state, which is 0 where an episode
    starts.

    If it chooses among a few actions, it outputs a value for each of them and takes the first of
    the greatest.

    Attributes:
        weights: one [out, in] matrix per layer.
        biases: one [out] vector per layer.
        activation: of the hidden layers, one of the names in `actor_onnx.ACTIVATIONS`.
        squashed: whether the last layer's sum goes through a tanh.
        offset, scale, low, high: [action_size].
        choices: those that the outputs are the values of; None: the outputs are the actions.
        lstm: layers of LSTM cells before the weights.
        observation_offset, observation_scale: [observation_size]; the first layer takes
            (observation - offset) / scale. None: it takes the observation.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activation: str
    squashed: bool
    offset: Array
    scale: Array
    low: Array
    high: Array
    choices: Choices | None = None
    lstm: tuple[Lstm, ...] = ()
    observation_offset: Array | None = None
    observation_scale: Array | None = None

    @property
    def observation_size(self) -> int:
        return self.lstm[0].inputs if self.lstm else int(self.weights[0].shape[1])

    @property
    def normaliser(self) -> tuple[Array, Array]:
        """Return the offset and the scale of the observation, [observation_size] each."""
        size = self.observation_size
        offset, scale = self.observation_offset, self.observation_scale
        return (
            np.zeros(size, np.float32) if offset is None else offset,
            np.ones(size, np.float32) if scale is None else scale,
        )
