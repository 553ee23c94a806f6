"""What a state is worth, told by a critic that sees a rig's numbers, its true motion and what the
student remembers of it (an asymmetric critic: Pinto et al., "Asymmetric Actor Critic for
Image-Based Robot Learning", 2018). The student itself sees the encoders alone."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from sparsectl.plants.equations import Motion
from sparsectl.training.any_rig.acting import Array
from sparsectl.training.any_rig.law import Unit
from sparsectl.training.any_rig.teacher import ModelBased

BATCH: Final = 4096

MOTION: Final = 7
"""Numbers of a motion that the critic sees."""

NUMBERS: Final = 12
"""Numbers of a unit that it sees."""

TYPICAL: Final = {"strongest": 10.0, "fastest": 1.5, "rate": 6.0, "limit": 0.25}
"""Numbers of a unit whose logarithms it sees, and where these are 0."""


class Critic(torch.nn.Module):
    """Two layers on the motion, the unit's numbers and the student's state.

    Args:
        units: of the student's GRU.
        hidden: neurons of each layer.
    """

    def __init__(self, units: int, hidden: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(MOTION + NUMBERS + units, hidden),
            torch.nn.ELU(),
            torch.nn.Linear(hidden, hidden),
            torch.nn.ELU(),
            torch.nn.Linear(hidden, 1),
        )

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Return worths [...] for what is seen, [..., inputs]."""
        worths: torch.Tensor = self.layers(seen)[..., 0]
        return worths

    def worths(self, seen: Array) -> Array:
        """Return worths [ticks, rigs] for what is seen, [ticks, rigs, inputs]."""
        with torch.no_grad():
            return np.stack([self(torch.from_numpy(of_tick)).numpy() for of_tick in seen])


class Seen:
    """Turns units and motions into what a critic sees.

    Args:
        teacher: knows the units' numbers.
    """

    def __init__(self, teacher: ModelBased) -> None:
        unit = Unit(*teacher.numbers.T)
        self._unit = unit
        logarithms = [np.log(getattr(unit, name) / typical) for name, typical in TYPICAL.items()]
        pull = unit.coupling**2 / (unit.base_constant * unit.hinge_inertia)
        shares = [
            np.log(teacher.period_s / 0.015),
            np.log(unit.strongest / (unit.limit * unit.rate**2)),
            unit.delay_s / teacher.period_s,
            10.0 * unit.dead,
            10.0 * unit.base_friction / unit.full,
            3.0 * pull,
            30.0 * unit.pole_damping / (unit.hinge_inertia * unit.rate),
            300.0 * unit.pole_friction / unit.weight,
        ]
        self._numbers = np.stack([*logarithms, *shares], axis=1).astype(np.float32)

    def of(self, motion: Motion, duty: NDArray[np.float64], state: Array) -> Array:
        """Return what is seen, [units, inputs].

        Args:
            motion: of the units.
            duty: that still acts, [units].
            state: of the student, [units, its own].
        """
        unit, speed = self._unit, motion.pole_velocity / self._unit.rate
        cosine = np.cos(motion.angle)
        moving = np.stack(
            [
                motion.position / unit.limit,
                motion.velocity / unit.fastest,
                np.sin(motion.angle),
                cosine,
                0.5 * speed,
                0.5 * speed**2 + cosine - 1.0,
                duty,
            ],
            axis=1,
        )
        return np.concatenate([moving.astype(np.float32), self._numbers, state], axis=1)
