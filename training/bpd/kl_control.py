"""Controllers that adjust the weight of the divergence to reach a target, so that nobody has to
tune it.

The weight's multiplier is a dual variable: it rises while the student exceeds the target and falls
while it is below, by gradient ascent on its logarithm (as in GECO: Rezende and Viola, "Taming
VAEs", 2018). Control begins when the schedule has reached its cap, since η is still growing before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from sparsectl.training.settings import BpdSettings

GAIN = 0.3
"""Change of the multiplier's logarithm per control step for an excess of 1."""

LARGEST_CHANGE = 0.3
"""The largest change of the logarithm in one step: 100 steps may change the multiplier by e^30, one
by a third."""


class Controller(Protocol):
    """A target for a student during its distillation."""

    wants_return: bool

    def excess(self, figures: dict[str, float]) -> float | None:
        """Return how much more the divergence must weigh: positive for more; None: not known at
        present."""


@dataclass(frozen=True)
class Weights:
    """A target number of kept weights; `figures` contain `kept_weights`."""

    wanted: int
    wants_return = False

    def excess(self, figures: dict[str, float]) -> float | None:
        return math.log(max(figures["kept_weights"], 1.0) / self.wanted)


@dataclass(frozen=True)
class ReturnShare:
    """A target loss of return; `figures` contain `return` when it was measured."""

    share: float
    teacher_return: float
    wants_return = True

    def excess(self, figures: dict[str, float]) -> float | None:
        """Return the margin that is left, as a share of the initial margin."""
        if "return" not in figures:
            return None
        room = max((1 - self.share) * abs(self.teacher_return), 1e-6)
        lost = self.teacher_return - figures["return"]
        return 1 - lost / room


def controller_of(settings: BpdSettings, teacher_return: float | None) -> Controller | None:
    """Return the controller that the settings ask for."""
    if settings.kl_weights:
        return Weights(settings.kl_weights)
    if settings.kl_return and teacher_return is not None:
        return ReturnShare(settings.kl_return, teacher_return)
    return None


def steered(controller: Controller, figures: dict[str, float], settings: BpdSettings) -> float:
    """Return the factor by which to change the divergence's multiplier; `figures` contain
    `progress`, 0 to 1."""
    ramp = settings.kl_cap / settings.kl_rate if settings.kl_rate else 0.0
    excess = controller.excess(figures)
    if figures["progress"] < min(ramp, 1.0) or excess is None:
        return 1.0
    return math.exp(max(-LARGEST_CHANGE, min(GAIN * excess, LARGEST_CHANGE)))
