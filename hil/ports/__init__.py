"""The kinds of port that a trial can run on, one module each: a new one is a file and a line here.

The first kind that claims the value of `--port` opens it; `Line` claims all others.
"""

from __future__ import annotations

from typing import Final

from sparsectl.hil.ports.actuator import ActuatorPort
from sparsectl.hil.ports.auto import Auto
from sparsectl.hil.ports.emulated import Emulated
from sparsectl.hil.ports.line import Line
from sparsectl.hil.ports.port import OpenPort, PortKind, PortRequest
from sparsectl.hil.ports.virtual import Virtual

__all__ = ["KINDS", "OpenPort", "PortKind", "PortRequest", "kind_of"]

KINDS: Final[tuple[PortKind, ...]] = (Virtual(), Emulated(), ActuatorPort(), Auto(), Line())


def kind_of(port: str) -> PortKind:
    """Return the kind of port that `port` names."""
    return next(kind for kind in KINDS if kind.claims(port))
