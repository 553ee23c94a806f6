"""The result of a trial, as the report, the campaign and `--json` use it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.typed_json import from_json
from sparsectl.hil.timing.percentiles import Percentiles


@dataclass(frozen=True)
class Disturbance:
    """A kick that took place, and the pole's response."""

    time_s: float
    """Time since the policy took over the motor."""
    duty: float
    peak_rad: float | None
    """The largest angle until the next kick or the end; None: no tick followed."""
    settling_s: float | None
    """Time until the pole stays near upright; None: it did not."""


@dataclass(frozen=True)
class TrialResult:
    """The figures of a trial; times are in us where the name says so. None: the journal does not
    contain the figure.

    Ticks, skipped ticks, period and jitter are of the ticks in which the policy drove the motor.
    """

    digest: str
    mode: str
    clock: str
    ticks: int
    skipped: int
    """Deadlines that passed without a tick."""
    lost_frames: int
    corrupt_frames: int
    duplicate_frames: int
    late_frames: int
    balanced: bool
    balanced_seconds: float
    swing_up_seconds: float | None
    held_seconds: float
    final_state: str
    fault: str
    ended: str
    period_us: Percentiles | None
    jitter_us: Percentiles | None
    round_trip_us: Percentiles | None
    inference_us: Percentiles | None
    actuation_us: Percentiles | None
    late_ticks: int
    """Ticks whose new duty was applied only after the next tick was due."""
    priority: str
    noise_floor_us: Percentiles | None
    rms_angle_rad: float | None
    """RMS angle of the pole from the capture to the end; None: it was never up."""
    rms_duty: float | None
    disturbances: tuple[Disturbance, ...]
    kicks_missed: int
    """Planned kicks that did not take place."""
    clock_relation: dict[str, Any] | None
    """The relation of the host's and the board's clock: drift_ppm, error_us, exchanges and more."""
    latency_us: dict[str, Any] | None
    """Latency of each segment from sample to motor: `hil.timing.latency.summarise`."""
    board: str | None
    stats: dict[str, int] | None
    """The board's counters at the end."""
    choices: dict[str, Any] | None
    """For a rig whose policies choose among duties: `hil.analysis.choices.summarise_choices`."""
    recurrent: dict[str, Any] | None
    """For a policy that keeps a state: `state_size` and `resets` while it drove the motor, each
    with `tick`, `time_s` (since it took over) and `why`."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON, under the keys that scripts rely on.

        `deadline_misses` is the sum that was reported before skipped and late ticks were counted
        apart; the next release drops it.
        """
        return asdict(self) | {
            "disturbances": [asdict(each) for each in self.disturbances],
            "deadline_misses": self.skipped + self.late_ticks,
        }

    @classmethod
    def from_json(cls, kept: object) -> TrialResult | None:
        """Read what `to_json` returned, ignoring other keys; None if it is incomplete."""
        try:
            return from_json(cls, kept, "trial", "")
        except UserError:
            return None
