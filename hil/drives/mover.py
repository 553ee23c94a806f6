"""Moves the base slowly to the middle between trials, commanded by the host instead of the
policy."""

from __future__ import annotations

from typing import Any

from sparsectl.firmware_host.config_header import COMMAND_TICKS
from sparsectl.plants.rig import Rig
from sparsectl.protocol.wire import Frame, State

GENTLE: float = 0.3
"""The largest duty, as a share of the rig's: below the level at which the board checks for a
jam."""
SLOW_S: float = 2.5
"""Time for the way from the limit to the middle at the highest speed."""
NEAR: float = 0.02
"""Distance from the middle, as a share of the limit, at which the base has arrived."""
_BRAKE_S, _INTEGRATE_S, _STILL_S = 0.5, 0.3, 0.2


class Mover:
    """Answers each OBSERVATION with a duty: speed control with an integrator, for any friction."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._speed = rig.base.limit / SLOW_S
        self._most = GENTLE * rig.motor.max_duty
        self._sum = 0.0
        self._last: tuple[int, float] | None = None
        self._still_s = 0.0

    @property
    def has_arrived(self) -> bool:
        """Return whether the base is in the middle and still."""
        return self._still_s >= _STILL_S

    def command(self, observation: Frame) -> dict[str, Any]:
        """Return the fields of COMMAND; see `hil.drives.host_drives.Commander`."""
        output = 0.0
        if observation["state"] == State.ACTIVE:
            output = self.duty(observation["tick"], observation["base_count"])
        return {
            "tick": observation["tick"],
            "output": output,
            "inference_ns": 0,
            "time_to_live": COMMAND_TICKS,
        }

    def duty(self, tick: int, base_count: int) -> float:
        """Return the duty for a base that is `base_count` from the middle at this tick."""
        position = base_count * self._rig.base.unit_per_count
        before = self._last or (tick - 1, position)
        elapsed_s = max(1, tick - before[0]) * self._rig.period_s
        velocity = (position - before[1]) / elapsed_s
        self._last = tick, position
        if abs(position) <= NEAR * self._rig.base.limit:
            moved = abs(velocity) * elapsed_s > 2 * abs(self._rig.base.unit_per_count)
            self._still_s = 0.0 if moved else self._still_s + elapsed_s
            self._sum = 0.0
            return 0.0
        self._still_s = 0.0
        wanted = max(-self._speed, min(self._speed, -position / _BRAKE_S))
        error = (wanted - velocity) / self._speed
        self._sum = self._clamped(self._sum + self._most * error * elapsed_s / _INTEGRATE_S)
        return self._clamped(self._sum + 0.5 * self._most * error)

    def _clamped(self, duty: float) -> float:
        return max(-self._most, min(self._most, duty))
