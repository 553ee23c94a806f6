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
    """Folder that `sparsectl export` wrote: policy.c, policy.h, policy_vectors.h. Or any-cartpole
    or any-furuta, with --rig, as `sparsectl trial` takes it."""
    board: str = "host"
    """Name of the board; host is a process on a pty."""
    rig: str | None = None
    """Rig name or parameter file (TOML); by default the one that the policy names."""
    out: Path | None = None
    """Folder for the firmware; by default firmware/ beside the policy's folder."""


@dataclass(frozen=True)
class FlashConfig:
    """Write a firmware to its board with the board's usual tool."""

    firmware: Positional[Path]
    """Folder that `sparsectl build` wrote, or the policy's folder beside it."""
    board: str | None = None
    """Name of the board; by default the one that the firmware was built for."""
    port: str | None = None
    """Serial port of a board with a boot loader, or mount point of a board that appears as a
    drive."""


@dataclass(frozen=True)
class BenchConfig:
    """Measure a policy on a board or bare core: cycles, instructions, flash, RAM, stack, error.

    sparsectl bench policy.onnx --board cortex-m4f --encoding straight-float32

    sparsectl bench runs/export/policy --board all"""

    policy: Positional[Path]
    """Folder that `sparsectl export` wrote, or a model that export takes."""
    board: str = "host"
    """A board, a bare core such as cortex-m4f, or all for a table of every core."""
    runs: int = 2000
    """Number of calls, where time is measured by a clock; the shortest counts."""
    encoding: str = "auto"
    """How to store the weights, if a model is given. auto: measure all encodings as `sparsectl
    export` does with this board and these limits, which takes minutes for a slow chip."""
    output: str | None = None
    """If an ONNX file is given: the output that holds the actions."""
    argmax: bool = False
    """If an ONNX file is given: the action is the index of its output's greatest value."""
    normalizer: Path | None = None
    """If a zip or a .cleanrl_model is given: the statistics of its normaliser, as in `sparsectl
    export`."""
    task: int | None = None
    """If a student of several tasks is given: measure the head of this task alone, from 0. By
    default a call computes the choices of all tasks."""
    range: tuple[Range, ...] = ()
    """If a model is given: the range of its signals, LOW,HIGH, as in `sparsectl export`."""
    calibration: Path | None = None
    """If a model is given: a dataset to calibrate it on, as in `sparsectl export`."""
    flash: Size | None = None
    """Refuse a policy that needs more flash, in bytes; 8K is 8192."""
    ram: Size | None = None
    """Refuse a policy that needs more RAM, including its stack, in bytes."""
    cycles: int | None = None
    """Refuse a policy whose longest measured call takes more cycles."""
    error: float | None = None
    """Refuse a policy whose actions differ from the golden vectors by more than this. If a model is
    given, the limit is relative to the action's range, as in `sparsectl export`. For discrete
    actions: the greatest share of golden vectors for which the choice may differ."""
