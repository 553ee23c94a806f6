"""Configurations of the commands that join several packages. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional, UseAppendAction

from sparsectl.common.quantities import Size
from sparsectl.export.config import ExportConfig


@dataclass(frozen=True)
class DemoConfig:
    """The whole pipeline on the pendulum: teacher, student, C, firmware, trial, report."""

    rig: str = "sensorsini_cartpole"
    """A rig that comes with a teacher: sensorsini_cartpole or qube_servo2."""
    out: Path = Path("runs/demo")
    """Folder of the run. An unfinished run there is taken up where it stopped."""
    seed: int = 0
    """Seed of dataset, student and trial."""
    seconds: float = 30.0
    """How long the trial balances, in seconds."""
    episodes: int = 100
    """Episodes that compare teacher and student."""


@dataclass(frozen=True)
class DoctorConfig:
    """Say what is installed, what is missing and the command that gets it; and which board answers
    on which serial port."""

    skip: tuple[str, ...] = ()
    """Serial ports that must not be opened, shell patterns allowed; also SPARSECTL_SKIP_PORTS."""
    ask: tuple[str, ...] = ()
    """Ports to ask beside those that the machine lists: a pty, socket://HOST:PORT."""
    boards: bool = True
    """Ask HELLO on each serial port. Opening one can reset what is behind it."""


@dataclass(frozen=True)
class ChooseConfig(ExportConfig):
    """Write a policy as ONNX and as C, and prove that both compute the same controller. With a
    board, the encoding is the fastest there that keeps to the limits, found by measuring all:

    sparsectl export policy.onnx --board arduino-uno --flash 8K --ram 1K --error 1e-3"""

    board: UseAppendAction[tuple[str, ...]] = ()
    """A board (stm32f405, nucleo-f446re, mps2-an386, microbit, arduino-uno, arduino-mega2560,
    hifive1, host) or a bare core (cortex-m0, cortex-m3, cortex-m4f, cortex-m7, rv32imac, rv32imafc,
    atmega328p, atmega2560). May be given several times: the encoding is chosen on the first, and
    each must compute what the reference does, bit for bit."""
    flash: Size | None = None
    """Greatest flash, in bytes over an empty firmware; 8K is 8192."""
    ram: Size | None = None
    """Greatest RAM, the stack included, in bytes."""
    cycles: int | None = None
    """Most cycles of the worst call seen."""
    episodes: int = 0
    """Episodes that compare the return of the C with the model's, where an environment is known."""


@dataclass(frozen=True)
class ParetoConfig:
    """Return against kept weights and against bytes after export, as a picture and as numbers."""

    students: Positional[tuple[Path, ...]]
    """Folders of `distill` (all the sizes that it went through) or files of students."""
    env: str | None = None
    """Gymnasium environment; by default the one that a student was made for."""
    teacher: Path | None = None
    """The teacher, drawn as a line."""
    episodes: int = 100
    """Episodes of each student, the same for all."""
    out: Path = Path("runs/pareto")
    """Folder for pareto.json and pareto.png."""
    env_kwargs: UseAppendAction[tuple[str, ...]] = ()
    """Keyword arguments of the environment: key=value or JSON; may be given several times."""
    wrapper: UseAppendAction[tuple[str, ...]] = ()
    """A wrapper around it, module:Class; may be given several times, the innermost first."""
    normalizer: Path | None = None
    """An .npz of the teacher's normaliser: mean, var, epsilon, clip, as VecNormalize has them."""
