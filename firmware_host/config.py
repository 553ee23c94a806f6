"""What `sparsectl build`, `flash` and `bench` are asked to do. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from sparsectl.common.quantities import Size
from sparsectl.common.signal_ranges import Range


@dataclass(frozen=True)
class BuildConfig:
    """Compile an exported policy into a board's firmware."""

    policy: Positional[Path]
    """Folder that `sparsectl export` wrote: policy.c, policy.h, policy_vectors.h."""
    board: str = "host"
    """Name in the board registry; host is a process on a pty."""
    rig: str | None = None
    """Rig name or parameter file (TOML); by default the one that the policy names."""
    out: Path | None = None
    """Folder of the firmware; by default firmware/ beside the policy's folder."""


@dataclass(frozen=True)
class FlashConfig:
    """Write a firmware to its board, by the board's usual tool."""

    firmware: Positional[Path]
    """Folder that `sparsectl build` wrote, or the policy's folder beside it."""
    board: str | None = None
    """Name in the board registry; by default the one that the firmware was built for."""
    port: str | None = None
    """Serial port of a board with a boot loader; the mounted folder of a board that is a drive."""


@dataclass(frozen=True)
class BenchConfig:
    """Measure a policy on a board or bare core: cycles, instructions, flash, RAM, stack, error.

    sparsectl bench policy.onnx --board cortex-m4f --encoding straight-float32

    sparsectl bench runs/export/policy --board all"""

    policy: Positional[Path]
    """Folder that `sparsectl export` wrote, or a model that export takes."""
    board: str = "host"
    """A board, a bare core such as cortex-m4f, or all: a table of every core."""
    runs: int = 2000
    """Timed calls of the policy where time is measured by a clock; the least counts."""
    encoding: str = "auto"
    """How to store the weights of a model that is exported for this. auto: as `sparsectl export`
    with this board and these limits chooses, by measuring all; it needs minutes for a slow chip."""
    output: str | None = None
    """Of an ONNX file that is exported for this, the output that is the actions."""
    range: tuple[Range, ...] = ()
    """What the signals of such a model range over, LOW,HIGH; as in `sparsectl export`."""
    calibration: Path | None = None
    """A dataset that such a model is calibrated on; as in `sparsectl export`."""
    flash: Size | None = None
    """Refuse a policy that takes more flash, in bytes; 8K is 8192."""
    ram: Size | None = None
    """Refuse a policy that takes more RAM, its stack included, in bytes."""
    cycles: int | None = None
    """Refuse a policy that takes more cycles in the worst call seen."""
    error: float | None = None
    """Refuse a policy whose actions are further than this from the golden vectors'; where a model's
    encoding is chosen, in the action's range, as in `sparsectl export`."""
