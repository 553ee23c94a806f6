"""The interface between a trial and its port: the request, and what a kind of port provides."""

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
    """Everything that a port may need to open; most need little of it."""

    port: str
    """The port as the user gave it."""
    baud: int
    mode: Mode
    clock: Clock
    policy: Path
    """Folder that `sparsectl export` wrote."""
    digest: str
    """Digest of the policy that the board must hold, 64 hex digits."""
    rig: RigConstants
    plant: PlantStart | None
    """The pendulum to simulate behind the board's encoders; None: the trial itself simulates it."""
    firmware: Path
    """Folder for a firmware that is built for this trial."""
    fifo: bool = False
    """Request SCHED_FIFO for the processes that are started here."""
    line: LineStart = LineStart()
    """The cable of a virtual board."""


@dataclass(frozen=True)
class OpenPort:
    """A port that is ready for the link."""

    address: str
    """A name that pyserial can open: a device path, a pty, or a URL."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Facts about the port for the journal."""
    baud: int | None = None
    """Baud rate, if it was detected."""


class PortKind(Protocol):
    """A kind of port."""

    @property
    def has_virtual_clock(self) -> bool:
        """Return whether --clock chooses how the board's time passes; others run in real time."""

    @property
    def builds(self) -> bool:
        """Return whether the board's firmware is built here, from the policy's C files."""

    @property
    def has_rig(self) -> bool:
        """Return whether a real rig may be connected, with a person beside it."""

    def claims(self, port: str) -> bool:
        """Return whether `port` names a port of this kind."""

    def open(self, request: PortRequest) -> AbstractContextManager[OpenPort]:
        """Provide the port, and what is behind it, while the context lasts.

        Raises:
            UserError: the port is not available.
        """
