"""What a trial came to, as the report, the campaign and `--json` have it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.typed_json import from_json
from sparsectl.hil.timing.percentiles import Percentiles


@dataclass(frozen=True)
class Disturbance:
    """A kick that came, and the pole's answer."""

    time_s: float
    """Since the policy took over."""
    duty: float
    peak_rad: float | None
    """The largest angle from it to the next kick or the end; None: no tick followed."""
    settling_s: float | None
    """Until the pole stays near upright; None: it did not."""


@dataclass(frozen=True)
class TrialResult:
    """The figures of a trial; times in us where they say so. None: the journal does not hold it.

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
    """Ticks whose new duty was there only after the next tick was due."""
    priority: str
    noise_floor_us: Percentiles | None
    rms_angle_rad: float | None
    """Of the pole, from the capture to the end; None: it was never up."""
    rms_duty: float | None
    disturbances: tuple[Disturbance, ...]
    kicks_missed: int
    """Kicks that were asked for and never came."""
    clock_relation: dict[str, Any] | None
    """Of host and board: drift_ppm, error_us, exchanges and more."""
    latency_us: dict[str, Any] | None
    """Of each segment from sample to motor: `hil.timing.latency.summarise`."""
    board: str | None
    stats: dict[str, int] | None
    """The board's counters at the end."""
    choices: dict[str, Any] | None
    """Of a rig whose policies choose among duties: `hil.analysis.choices.summarise_choices`."""
    recurrent: dict[str, Any] | None
    """Of a policy that keeps a state: `state_size` and `resets` while it drove the motor, each with
    `tick`, `time_s` (since it took over) and `why`."""

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON, under the keys that scripts rely on.

        `deadline_misses` is what was given before skipped and late ticks were counted apart; the
        next release drops it.
        """
        return asdict(self) | {
            "disturbances": [asdict(each) for each in self.disturbances],
            "deadline_misses": self.skipped + self.late_ticks,
        }

    @classmethod
    def from_json(cls, kept: object) -> TrialResult | None:
        """What `to_json` gave, other keys beside it; None where it is not whole."""
        try:
            return from_json(cls, kept, "trial", "")
        except UserError:
            return None
