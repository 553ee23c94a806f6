"""Configurations of the commands that join several packages. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional, UseAppendAction

from sparsectl.common.quantities import Size
from sparsectl.export.config import ExportConfig


@dataclass(frozen=True)
class DemoConfig:
    """Run the whole pipeline on a virtual pendulum: teacher, student, C, firmware, trial,
    report."""

    rig: str = "sensorsini_cartpole"
    """A rig that comes with a teacher: sensorsini_cartpole or qube_servo2."""
    out: Path = Path("runs/demo")
    """Folder of the run. The demo resumes an unfinished run that it finds there."""
    seed: int = 0
    """Seed of the dataset, the student and the trial."""
    seconds: float = 30.0
    """How long to balance the pole in the trial, in seconds."""
    episodes: int = 100
    """Episodes for the comparison of teacher and student."""


@dataclass(frozen=True)
class DoctorConfig:
    """List what is installed, what is missing and the command that installs it, and which board
    answers on which serial port."""

    skip: tuple[str, ...] = ()
    """Serial ports that must not be opened, as shell patterns; SPARSECTL_SKIP_PORTS adds to
    them."""
    ask: tuple[str, ...] = ()
    """Further ports to query, besides those that the machine lists: a pty, socket://HOST:PORT."""
    boards: bool = True
    """Send HELLO to each serial port. Opening a port can reset the device behind it."""


@dataclass(frozen=True)
class ChooseConfig(ExportConfig):
    """Write a policy as ONNX and as C, and prove that both compute the same controller. On a
    board, measure every encoding and take the fastest one within the limits:

    sparsectl export policy.onnx --board arduino-uno --flash 8K --ram 1K --error 1e-3"""

    board: UseAppendAction[tuple[str, ...]] = ()
    """A board (stm32f405, nucleo-f446re, mps2-an386, microbit, arduino-uno, arduino-mega2560,
    hifive1, host) or a bare core (cortex-m0, cortex-m3, cortex-m4f, cortex-m7, rv32imac, rv32imafc,
    atmega328p, atmega2560). Repeat it for several: the first one selects the encoding, and all
    must compute the same bits as the reference."""
    flash: Size | None = None
    """Limit of flash, in bytes more than an empty firmware; 8K is 8192."""
    ram: Size | None = None
    """Limit of RAM including the stack, in bytes."""
    cycles: int | None = None
    """Limit of cycles for the longest measured call."""
    episodes: int = 0
    """Episodes in which to compare the return of the C with the model's, if the model names an
    environment."""


@dataclass(frozen=True)
class ParetoConfig:
    """Plot return against kept weights and against bytes after export, and write the numbers."""

    students: Positional[tuple[Path, ...]]
    """Folders that `distill` wrote (all sizes in them are plotted), or student files."""
    env: str | None = None
    """Gymnasium environment; by default the one that the student was trained for."""
    teacher: Path | None = None
    """The teacher, which is drawn as a line."""
    episodes: int = 100
    """Episodes for each student; all are run in the same ones."""
    out: Path = Path("runs/pareto")
    """Folder for pareto.json and pareto.png."""
    task: int | None = None
    """For students of several tasks: the task, from 0; by default the task of --env."""
    env_kwargs: UseAppendAction[tuple[str, ...]] = ()
    """Keyword arguments of the environment, as key=value or JSON; repeat it for several."""
    wrapper: UseAppendAction[tuple[str, ...]] = ()
    """A wrapper for the environment, module:Class; repeat it for several, innermost first."""
    normalizer: Path | None = None
    """An .npz with the statistics of the teacher's VecNormalize: mean, var, epsilon, clip."""


@dataclass(frozen=True)
class AdaptConfig:
    """Teach the policy for any pendulum the one rig on which it fails, from journals of its failed
    trials there. Takes minutes; the same command resumes what was stopped or killed:

    sparsectl trial --policy any-cartpole --rig my_rig.toml --out runs/failed

    sparsectl adapt runs/failed/journal.bin --rig my_rig.toml --out runs/adapted

    sparsectl trial --policy runs/adapted/student.safetensors --rig runs/adapted/my_rig.toml

    First it fits the rig's numbers to the journals, as `identify` does; the rig's file needs no
    masses. Then the policy drives rigs drawn from what is still uncertain, and learns what a
    controller that knows their numbers would have done. The last lines compare the policy before
    and after on rigs that neither has learnt from."""

    journals: Positional[tuple[Path, ...]]
    """journal.bin of trials on this rig, all with the motor driven; failed trials will do."""
    rig: str
    """The rig's file (TOML); counts, period and limit suffice."""
    out: Path = Path("runs/adapted")
    """Folder for student.safetensors, which `trial --policy`, `build` and `export` take, and for
    the rig file that was fitted to the journals."""
    policy: Path = Path("any-cartpole")
    """Policy to begin with: any-cartpole, any-furuta for a rotary pendulum, or the .safetensors of
    another student for any rig."""
    rounds: int = 16
    """Rounds of driving and learning; a higher number continues where the last run ended."""
    rigs: int = 100
    """Drawn rigs for the comparison of before and after."""
    seed: int = 0
    """Seed of the drawn rigs and of the learning."""


@dataclass(frozen=True)
class SweepConfig:
    """Run a grid of experiments from one file: environments, methods, settings and seeds, each
    through teach, collect, distill, evaluate, export and bench, as far as the file asks for them.

    What several runs share is made once. Each task is a process with one thread, and as many run at
    once as there are cores. The same command resumes a sweep that was stopped or killed, and
    tries again what has failed. `sparsectl report` draws the results; docs/sweeps.md explains the
    file:

    sparsectl sweep priors.toml

    sparsectl report runs/priors"""

    file: Positional[Path]
    """The TOML file that says what to run."""
    out: Path | None = None
    """Folder of the results; by default runs/ and the file's name."""
    environment: tuple[str, ...] = ()
    """Run only the runs in these environments, by the names of their tables."""
    method: tuple[str, ...] = ()
    """Run only the runs of these methods, by the names of their tables."""
    seed: tuple[int, ...] = ()
    """Run only the runs with these seeds."""
    dry_run: bool = False
    """List the runs and what of them is done, and check all settings, without running anything."""
    processes: int = 0
    """Tasks that run at once; 0: one per core."""
    time_limit: float = 0.0
    """Minutes after which a task is stopped and counts as failed; 0: none. Its checkpoint stays, so
    that the same command with a higher limit resumes it."""
    skip_failed: bool = False
    """Leave what has failed before as it is, instead of trying it again."""
    update: bool = False
    """Continue in a folder with the results of another file, or of an earlier version of this one:
    what both ask for is kept."""
    ray: str | None = None
    """Spread the runs over a Ray cluster: HOST:PORT of its head, or auto for the one on this
    computer (extra `ray`). The results come back into `out`."""
    retries: int = 3
    """With --ray: how often a task is tried again whose worker was lost."""
