"""Bare cores, one module each: a new one is a file here and a line in `CORES`."""

from __future__ import annotations

from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.cores.atmega328p import ATMEGA328P
from sparsectl.firmware_host.cores.atmega2560 import ATMEGA2560
from sparsectl.firmware_host.cores.core import Core, Measurement, ToolChain
from sparsectl.firmware_host.cores.cortex_m0 import CORTEX_M0
from sparsectl.firmware_host.cores.cortex_m3 import CORTEX_M3
from sparsectl.firmware_host.cores.cortex_m4f import CORTEX_M4F
from sparsectl.firmware_host.cores.cortex_m7 import CORTEX_M7
from sparsectl.firmware_host.cores.host import HOST
from sparsectl.firmware_host.cores.rv32imac import RV32IMAC
from sparsectl.firmware_host.cores.rv32imafc import RV32IMAFC

__all__ = ["CORES", "Core", "Measurement", "ToolChain", "find_core"]

_ALL: tuple[Core, ...] = (
    CORTEX_M0,
    CORTEX_M3,
    CORTEX_M4F,
    CORTEX_M7,
    RV32IMAC,
    RV32IMAFC,
    ATMEGA328P,
    ATMEGA2560,
    HOST,
)

CORES: Final[dict[str, Core]] = {core.name: core for core in _ALL}


def find_core(name: str) -> Core:
    """Return the core called `name`.

    Raises:
        UserError: there is none; the message names those there are.
    """
    if name not in CORES:
        raise UserError(f"no core {name!r}; known: {', '.join(CORES)}")
    return CORES[name]
