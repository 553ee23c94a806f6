"""What the host needs to know about a bare core to compile for it and to measure on it."""

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
"""Warnings, for the generated policy too; our own sources add -Wconversion."""

C_FLAGS: Final = ("-std=c99", "-O2", "-ffp-contract=off", "-g")
"""Flags for every core: products and sums are not contracted, so every core gives the same bits."""


@dataclass(frozen=True)
class Measurement:
    """The cost of calls of a policy on a core; the tuples have one value per observation.

    None: the core cannot measure it.
    """

    actions: Float32
    """[observations, action_size], as the compiled policy computes them."""
    cycles: tuple[int, ...] | None
    cycles_kind: str | None
    """exact or modelled; None without cycles."""
    instructions: tuple[int, ...] | None
    flash: dict[str, int]
    """Bytes per section more than a firmware with an empty policy: code, tables, data."""
    ram_bytes: int
    """Static RAM more than a firmware with an empty policy."""
    stack_bytes: int | None
    """The deepest that the stack went below the call."""
    activation_share: float | None
    """Share of the cycles (without cycles: of the instructions) spent in activation functions."""
    note: str
    """One sentence about what the figures are and what they are not."""
    microseconds: float | None = None
    """Duration of the fastest call, if a clock was read; otherwise None: cycles and clock give
    it."""
    median_microseconds: float | None = None


class ToolChain(Protocol):
    """The requirements of compiling; cores and boards provide them."""

    @property
    def name(self) -> str:
        """Name of the core or board, for messages."""

    @property
    def compilers(self) -> tuple[str, ...]:
        """Suitable C compilers, best first."""

    @property
    def compiler_package(self) -> str:
        """Debian packages of the compiler."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags for compiling and linking."""


class Core(ToolChain, Protocol):
    """A bare core in the registry: a processor, or a chip of which only the processor counts."""

    @property
    def clock_hz(self) -> int | None:
        """A usual clock in Hz; None: not fixed."""

    @property
    def flash_bytes(self) -> int | None:
        """Flash of the chip, in bytes; None: the core is no chip."""

    @property
    def ram_bytes(self) -> int | None:
        """RAM of the chip, in bytes; None: the core is no chip."""

    def measure(self, policy: Path, folder: Path, observations: Float32, runs: int) -> Measurement:
        """Compile the policy in the folder `policy` and run it on `observations`.

        Args:
            policy: what `export` wrote: policy.c, policy.h and, for some encodings, policy.S.
            folder: an empty working folder.
            observations: [observations, observation_size].
            runs: number of calls to time, if time is measured by a clock.

        Raises:
            UserError: a tool is missing, or the policy does not compile, fit or end.
        """

    def run(self, policy: Path, folder: Path, observations: Float32) -> Float32:
        """Return the actions alone, [observations, action_size], of all observations.

        Nothing is measured on the way, which makes long sequences many times as fast. Arguments and
        errors are those of `measure`.
        """
