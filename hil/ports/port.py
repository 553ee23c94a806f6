"""What a trial asks of a port, and what a kind of port promises."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sparsectl.hil.config import Clock, Mode
from sparsectl.hil.simulation.plant_server import PlantStart
from sparsectl.hil.simulation.virtual_rig import LineStart
from sparsectl.plants.rig_constants import RigConstants


@dataclass(frozen=True)
class PortRequest:
    """All that a port may need to open: most need little of it."""

    port: str
    """As the user gave it."""
    baud: int
    mode: Mode
    clock: Clock
    policy: Path
    """Folder that `sparsectl export` wrote."""
    digest: str
    """64 hex digits: of the policy that the board has to hold."""
    rig: RigConstants
    plant: PlantStart | None
    """The pendulum to simulate behind the board's encoders; None where the trial itself does."""
    firmware: Path
    """Folder for a firmware that is built for this trial."""
    fifo: bool = False
    """Ask for SCHED_FIFO for what is started here."""
    line: LineStart = LineStart()
    """The cable of a virtual board."""


@dataclass(frozen=True)
class OpenPort:
    """A port that is ready for the link."""

    address: str
    """What pyserial opens: a device path, a pty, or a URL."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What the journal should know of it."""
    baud: int | None = None
    """Its speed, where that was found out."""


class PortKind(Protocol):
    """A kind of port."""

    @property
    def has_virtual_clock(self) -> bool:
        """Whether --clock chooses how the board's time passes; others run in real time."""

    @property
    def builds(self) -> bool:
        """Whether the board's firmware is built here, from the policy's C files."""

    @property
    def has_rig(self) -> bool:
        """Whether a rig of iron may stand behind it, and a person beside that."""

    def claims(self, port: str) -> bool:
        """Whether `port` names one of these."""

    def open(self, request: PortRequest) -> AbstractContextManager[OpenPort]:
        """Have the port there for as long as the context lasts, and whatever stands behind it.

        Raises:
            UserError: it cannot be had.
        """
