"""Controllers that steer the divergence's weight to what is wanted, so that nobody tunes it.

The weight's multiplier is a dual variable: it rises while the student is over what is wanted and
falls while it is under it, by gradient ascent on its logarithm (as GECO does: Rezende and Viola,
"Taming VAEs", 2018). It begins once the schedule has reached its cap: before, η is still growing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from sparsectl.training.settings import BpdSettings

GAIN = 0.3
"""Change of the multiplier's logarithm for an excess of one, a step of control."""

LARGEST_CHANGE = 0.3
"""Of the logarithm in one step: 100 steps may move the multiplier by e^30, one by a third."""


class Controller(Protocol):
    """What is wanted of a student while it is distilled."""

    wants_return: bool

    def excess(self, figures: dict[str, float]) -> float | None:
        """How much more divergence must weigh: over 0 for more; None: it is not known now."""


@dataclass(frozen=True)
class Weights:
    """A wanted number of kept weights; `figures` have `kept_weights`."""

    wanted: int
    wants_return = False

    def excess(self, figures: dict[str, float]) -> float | None:
        return math.log(max(figures["kept_weights"], 1.0) / self.wanted)


@dataclass(frozen=True)
class ReturnShare:
    """A wanted loss of return; `figures` have `return` where it was measured."""

    share: float
    teacher_return: float
    wants_return = True

    def excess(self, figures: dict[str, float]) -> float | None:
        """The room that is left, as a share of the room there was."""
        if "return" not in figures:
            return None
        room = max((1 - self.share) * abs(self.teacher_return), 1e-6)
        lost = self.teacher_return - figures["return"]
        return 1 - lost / room


def controller_of(settings: BpdSettings, teacher_return: float | None) -> Controller | None:
    """The controller that the settings ask for."""
    if settings.kl_weights:
        return Weights(settings.kl_weights)
    if settings.kl_return and teacher_return is not None:
        return ReturnShare(settings.kl_return, teacher_return)
    return None


def steered(controller: Controller, figures: dict[str, float], settings: BpdSettings) -> float:
    """The factor on the divergence's multiplier; `figures` have `progress`, 0 to 1."""
    ramp = settings.kl_cap / settings.kl_rate if settings.kl_rate else 0.0
    excess = controller.excess(figures)
    if figures["progress"] < min(ramp, 1.0) or excess is None:
        return 1.0
    return math.exp(max(-LARGEST_CHANGE, min(GAIN * excess, LARGEST_CHANGE)))
