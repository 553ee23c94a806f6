"""The header of a journal: all that is needed to read a trial, and to repeat it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from sparsectl.common.errors import UserError
from sparsectl.common.typed_json import from_json
from sparsectl.hil.config import TrialConfig
from sparsectl.plants.rig_constants import RigConstants
from sparsectl.policy.signals import Signals, parse_signals

FORMAT: Final = "sparsectl.journal"
VERSION: Final = 1

BASE_UNITS: Final = ("m", "rad")

HostClock = Literal["monotonic", "virtual"]

_WHERE: Final = "the journal's header"
_MEND: Final = "name a journal that `sparsectl trial` wrote"


@dataclass(frozen=True)
class Kick:
    """A disturbance: `duty` added to the policy's for `ticks`, this long after the capture."""

    after_s: float
    duty: float
    ticks: int


@dataclass(frozen=True)
class JournalHeader:
    """The first record of a journal; docs/journal.md describes each key."""

    protocol_hash: int
    """Hash of the message table, which is also the CRC seed of the frames."""
    config: TrialConfig
    """The settings of the trial; what a journal of an earlier release does not name has its
    default."""
    virtual: bool
    """True if the rig was simulated."""
    digest: str
    """The policy's digest, 64 hexadecimal digits."""
    signals: dict[str, Any]
    """Both ends of the policy, as `PolicyGraph.signals` describes them."""
    rig: str
    """The rig's name."""
    rig_constants: RigConstants
    """The numbers that host and board agreed on."""
    provenance: dict[str, Any]
    started: str | None = None
    """Local time with its offset, ISO 8601; None in lockstep."""
    host_clock: HostClock = "monotonic"
    policy_files: dict[str, str] | None = None
    """SHA-256 of each C file of the policy; None in a journal of an earlier release."""
    kicks: tuple[Kick, ...] = ()
    """The kicks that were asked for."""
    state_size: int = 0
    """Values that the policy hands from tick to tick; 0: it keeps no state."""

    @property
    def parsed_signals(self) -> Signals:
        """Return the signals, checked and typed.

        Raises:
            UserError: they are not what `PolicyGraph.signals` gives.
        """
        return parse_signals(self.signals, f"{_WHERE}: signals")

    @property
    def base_unit(self) -> str:
        """Return the unit of the base's position: m, or rad for an arm.

        Raises:
            UserError: it is another.
        """
        unit = self.parsed_signals.observation[0].unit
        if unit not in BASE_UNITS:
            known = " or ".join(BASE_UNITS)
            raise UserError(f"{_WHERE}: the base moves in {unit!r:.40}, not in {known}; {_MEND}")
        return unit

    @property
    def is_pil(self) -> bool:
        """Return whether the trial was processor in the loop: the host simulated the plant."""
        return self.config.mode == "pil"

    @classmethod
    def from_json(cls, said: object) -> JournalHeader:
        """Read the header from the JSON of a HEADER record.

        Raises:
            UserError: a key is missing or has another type.
        """
        return from_json(cls, said, _WHERE, _MEND)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of a HEADER record."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "protocol_hash": self.protocol_hash,
            **({} if self.started is None else {"started": self.started}),
            "host_clock": self.host_clock,
            "config": plain_config(self.config),
            "virtual": self.virtual,
            "digest": self.digest,
            **({} if self.policy_files is None else {"policy_files": self.policy_files}),
            "signals": self.signals,
            **({"state_size": self.state_size} if self.state_size else {}),
            "rig": self.rig,
            "rig_constants": self.rig_constants.to_json(),
            "kicks": [asdict(kick) for kick in self.kicks],
            "provenance": self.provenance,
        }


def plain_config(config: TrialConfig) -> dict[str, Any]:
    """Return the settings of a trial as JSON, with paths as text."""
    return {
        key: str(value) if isinstance(value, Path) else value
        for key, value in asdict(config).items()
    }
