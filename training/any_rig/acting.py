"""The inputs of a student for any rig, and its arithmetic in numpy: one GRU between inputs and
duty.

The student reads a rig's encoders in units that need no masses: the base's position and speed as
shares of its limit, the pole's angle as sine and cosine, and its speed in rad/s. What the rig's
file says of the limit, the period and the encoders' counts are constant inputs. For one rig they
are folded into the biases, and the deployed policy has the same five signals as every policy of a
rig.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsectl.plants.rig import Rig

Array = NDArray[np.float32]

SIGNALS = 5
CONSTANTS = 4
LIMIT_SHARE = 0.5
"""Position of the base that is 1 as an input, as a share of the limit."""
LIMITS_A_SECOND = 2.0
"""Speed of the base that is 1 as an input, in limits per second."""
SINE = 0.25
"""Sine of the pole's angle that is 1 as an input: balancing answers small angles with much duty."""
POLE_RAD_S = 4.0
"""Speed of the pole that is 1 as an input, in rad/s."""
REFERENCES = (0.25, 0.015, 0.14, 0.012)
"""Value of each constant whose logarithm, the input, is 0."""


def scales_of(rig: Rig) -> Array:
    """Return the number by which each of a rig's signals is divided, [5]."""
    limit = rig.base.limit
    scales = [LIMIT_SHARE * limit, LIMITS_A_SECOND * limit, SINE, 1.0, POLE_RAD_S]
    return np.array(scales, np.float32)


def constants_of(rig: Rig) -> Array:
    """Return the constant inputs of a rig, [4], as logarithms: its travel at the hinge in m, its
    period in s, and one count per period as a speed of the pole, in rad/s, and of the base, in
    limits per second."""
    limit, period_s = rig.base.limit, rig.period_s
    numbers = (
        limit * rig.lever_m,
        period_s,
        abs(rig.pole_rad_per_count) / period_s,
        abs(rig.base.unit_per_count) / (limit * period_s),
    )
    return np.log(np.array(numbers) / REFERENCES).astype(np.float32)


class Inputs:
    """Converts observations of many rigs to the student's inputs."""

    def __init__(self, rigs: Sequence[Rig]) -> None:
        self.scales = np.stack([scales_of(rig) for rig in rigs])
        self.constants = np.stack([constants_of(rig) for rig in rigs])

    def of(self, observations: Array) -> Array:
        """Return inputs [rigs, 9] for stacked frames [rigs, frames * 5], of which only the last is
        used."""
        return np.concatenate([observations[:, -SIGNALS:] / self.scales, self.constants], axis=1)


@dataclass
class Acting:
    """Computes the student in numpy, tick by tick, for many rigs at once."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array
    weight: Array
    bias: Array

    def reset(self, rigs: int) -> Array:
        """Return the state at the beginning, [rigs, units]."""
        return np.zeros((rigs, self.weight_hh.shape[1]), np.float32)

    def step(self, inputs: Array, state: Array) -> tuple[Array, Array]:
        """Return duties [rigs] and the next state, for inputs [rigs, 9]."""
        units = state.shape[1]
        given = inputs @ self.weight_ih.T + self.bias_ih
        kept = state @ self.weight_hh.T + self.bias_hh
        gates = _sigmoid(given[:, : 2 * units] + kept[:, : 2 * units])
        reset, update = gates[:, :units], gates[:, units:]
        fresh = np.tanh(given[:, 2 * units :] + reset * kept[:, 2 * units :])
        state = fresh + update * (state - fresh)
        return np.tanh(state @ self.weight.T + self.bias)[:, 0], state


@dataclass
class ActingStack:
    """Computes the frame-stacked student in numpy; its state is the frames, and whether there are
    any."""

    frames: int
    weights: list[Array]
    biases: list[Array]

    def reset(self, rigs: int) -> Array:
        """Return the state at the beginning, [rigs, frames * 5], not yet filled."""
        return np.full((rigs, self.frames * SIGNALS), np.nan, np.float32)

    def step(self, inputs: Array, state: Array) -> tuple[Array, Array]:
        """Return duties [rigs] and the next state, for inputs [rigs, 9]."""
        frame = inputs[:, :SIGNALS]
        if np.isnan(state[0, 0]):
            state = np.tile(frame, (1, self.frames))
        else:
            state = np.concatenate([state[:, SIGNALS:], frame], axis=1)
        hidden = np.concatenate([state, inputs[:, SIGNALS:]], axis=1)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.maximum(hidden @ weight.T + bias, 0)
        return np.tanh(hidden @ self.weights[-1].T + self.biases[-1])[:, 0], state


def _sigmoid(x: Array) -> Array:
    half = np.float32(0.5)
    squashed: Array = half * (1 + np.tanh(half * x))
    return squashed
