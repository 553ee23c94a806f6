"""On-policy distillation that never settles, on four states and two parameters.

An agent starts in one of two states, evenly. Each start leads right or left to one of two further
states, in which the teacher wants a move; states of one colour share a parameter:

    start    its colour    leads to states of    where the teacher wants
    first    a             b                     the side that the agent came from
    second   b             a                     the other side

With p = σ(a) and q = σ(b) the probabilities of moving right, the expected loss in the states that
the first start leads to is −w [pq + (1−p)(1−q)], of those behind the second −[q(1−p) + (1−q)p].
On-policy distillation differentiates it in the second step alone, by b and by a respectively, which
gives a field with closed orbits around p = q = 1/2 and no minimum: theorem 1 of Czarnecki et al.
(2019). N-distill also differentiates the way there, follows the gradient and settles. The example
is ours, since a single shared parameter, as in accounts of the paper's figure 2, cannot circle in
continuous time: a field on a line is always some function's gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WEIGHT: Final = 4.0
"""w, the weight of the first start's loss relative to the second's."""


def _right(parameters: Array) -> Array:
    right: Array = 1 / (1 + np.exp(-parameters))
    return right


def on_policy(parameters: Array) -> Array:
    """Return the expected update direction of on-policy distillation, to be subtracted: ∇ of ℓ
    alone."""
    p, q = _right(parameters)
    slope = np.array([p * (1 - p), q * (1 - q)])
    direction: Array = slope * np.array([2 * q - 1, -WEIGHT * (2 * p - 1)])
    return direction


def n_distill(parameters: Array) -> Array:
    """Return that of N-distill: ∇ of the expected loss, including the way there."""
    p, q = _right(parameters)
    slope = np.array([p * (1 - p), q * (1 - q)])
    direction: Array = slope * (1 - WEIGHT) * np.array([2 * q - 1, 2 * p - 1])
    return direction


def orbit_constant(parameters: Array) -> float:
    """Return w cosh a + cosh b, which on-policy distillation keeps as its step size goes to 0.

    Along it da/dt = −p(1−p)(2q−1) and db/dt = w q(1−q)(2p−1), and sinh a = (2p−1) / (2p(1−p)), so
    that its derivative vanishes.
    """
    a, b = parameters
    return float(WEIGHT * np.cosh(a) + np.cosh(b))


def followed(field: Callable[[Array], Array], start: Array, rate: float, steps: int) -> Array:
    """Return the parameters [steps + 1, 2] along an update's expectation, each step of size
    `rate`."""
    path = [np.asarray(start, np.float64)]
    for _ in range(steps):
        path.append(path[-1] - rate * field(path[-1]))
    return np.array(path)
