"""A drive with SimpleFOC's Commander and the sketch's two commands, as far as its lines go."""

from __future__ import annotations

from tests.hil.actuators.odrive_drive import CLOSED_LOOP, IDLE, SimulatedOdrive


class SimulatedSimpleFoc(SimulatedOdrive):
    """The same rig on the shaft and the same clock; a motor's status is CLOSED_LOOP or IDLE."""

    is_verbose = True
    """As Commander is at its start: each setting is answered by a sentence."""
    is_broken = False
    """True if the driver does not let the motor be enabled."""

    def _obey(self, line: str) -> str | None:
        if not line:
            return None
        self.heard.append(line)
        if line == "@0":
            self.is_verbose = False
        elif line == "ME0":
            self.state = IDLE
        elif line == "ME1" and not self.is_broken:
            self.state, self.error = CLOSED_LOOP, 0
        elif line == "W":
            return f"watchdog {round(1000 * self.watchdog_s)}"
        elif line[0] == "P":
            self.torque_nm = float(line[1:]) / self.most_a * self.full_torque_nm
            self._fed_s = self.clock()
            base, pole = self.plant.counts()
            return f"counts {base} {pole} {int(self.state == CLOSED_LOOP)}"
        return f"{line}: done" if self.is_verbose else None

    @property
    def most_a(self) -> float:
        return float(self.plant.rig.motor.max_current_a)  # type: ignore[union-attr]
