"""The acting network of an algorithm, as its library saved it."""

from __future__ import annotations

from dataclasses import dataclass

from sparsectl.policy.choices import Choices
from sparsectl.policy.state_dict import Array


@dataclass(frozen=True)
class ActorNetwork:
    """The network that acts: physical = clip(normalised * scale + offset, low, high).

    If it chooses among a few actions, it outputs a value for each of them and takes the first of
    the greatest.

    Attributes:
        weights: one [out, in] matrix per layer.
        biases: one [out] vector per layer.
        activation: of the hidden layers, one of the names in `actor_onnx.ACTIVATIONS`.
        squashed: whether the last layer's sum goes through a tanh.
        offset, scale, low, high: [action_size].
        choices: those that the outputs are the values of; None: the outputs are the actions.
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
