"""What the host must know of a bare core to compile for it and to measure on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

FIRMWARE: Final = Path(__file__).parent.parent / "firmware"
"""The C sources: core/, port.h, ports/, bench/."""

WARNINGS: Final = ("-Wall", "-Wextra", "-Wdouble-promotion", "-Wfloat-conversion")
"""Of the generated policy too; our own sources take -Wconversion besides."""

C_FLAGS: Final = ("-std=c99", "-O2", "-ffp-contract=off", "-g")
"""Of every core: no product and sum are contracted, so every core gives the same bits."""


@dataclass(frozen=True)
class Measurement:
    """What calls of a policy cost on a core; the tuples hold a figure an observation.

    None where the core cannot tell.
    """

    actions: Float32
    """[observations, action_size], as the compiled policy computes them."""
    cycles: tuple[int, ...] | None
    cycles_kind: str | None
    """exact or modelled; None without cycles."""
    instructions: tuple[int, ...] | None
    flash: dict[str, int]
    """Bytes a section over a firmware with an empty policy: code, tables, data."""
    ram_bytes: int
    """Static RAM over a firmware with an empty policy."""
    stack_bytes: int | None
    """The deepest that the stack went below the call."""
    activation_share: float | None
    """Part of the cycles (without cycles: of the instructions) spent in activation functions."""
    note: str
    """What the figures are and are not, one sentence."""
    microseconds: float | None = None
    """Of the fastest call, where a clock was read; else None: cycles and clock tell."""
    median_microseconds: float | None = None


class ToolChain(Protocol):
    """What compiling needs; cores and boards are such."""

    @property
    def name(self) -> str:
        """Of the core or board, for messages."""

    @property
    def compilers(self) -> tuple[str, ...]:
        """C compilers that will do, best first."""

    @property
    def compiler_package(self) -> str:
        """How to get one: Debian packages."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags for compiling and linking."""


class Core(ToolChain, Protocol):
    """A bare core in the registry: a processor, or a chip of which only the processor counts."""

    @property
    def clock_hz(self) -> int | None:
        """A usual clock in Hz; None where it is not fixed."""

    @property
    def flash_bytes(self) -> int | None:
        """Flash of the chip, in bytes; None where the core is no chip."""

    @property
    def ram_bytes(self) -> int | None:
        """RAM of the chip, in bytes; None where the core is no chip."""

    def measure(self, policy: Path, folder: Path, observations: Float32, runs: int) -> Measurement:
        """Compile the policy in the folder `policy` and run it on `observations`.

        Args:
            policy: what `export` wrote: policy.c, policy.h and, for some encodings, policy.S.
            folder: an empty folder for what that takes.
            observations: [observations, observation_size].
            runs: calls to time, where time is measured by a clock.

        Raises:
            UserError: a tool is missing, or the policy does not compile, fit or end.
        """
