"""What a trial and a report are asked to do. Imports nothing heavy: `--help` reads this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sparsectl.hil.faults.kinds import fault_help

Mode = Literal["device", "host", "pil"]
Clock = Literal["realtime", "lockstep", "fast"]
LiveLoss = Literal["stop", "continue"]


@dataclass(frozen=True)
class TrialConfig:
    """Run a policy on a pendulum, hardware or virtual, and account for every tick."""

    policy: Path
    """Folder that `sparsectl export` wrote: policy.onnx and the C files."""
    port: str = "virtual"
    """/dev/ttyACM0, socket://HOST:PORT, rfc2217://HOST:PORT, or virtual: no hardware needed."""
    board: str = "host"
    """Board behind the port: its line's speed is taken. With --port virtual and --mode pil any
    board of `sparsectl build` runs here, in its emulator (the same as --port emulated:BOARD)."""
    mode: Mode = "device"
    """device: the board drives the pendulum; host: the policy runs here, the board does the I/O and
    keeps it safe; pil: the board acts on a plant simulated here."""
    clock: Clock = "realtime"
    """realtime: each tick at its hour. Of the virtual rig also lockstep, tick by tick and the same
    every time, and fast: as soon as the last one is done. pil takes fast on any board."""
    seconds: float = 30.0
    """How long to balance after the pole is up, in seconds."""
    seed: int = 0
    """Seed of the virtual plant and of the disturbances."""
    out: Path | None = None
    """Folder of journal and report; replaces an earlier trial there. By default new, in runs/."""
    rig: str | None = None
    """Rig name or parameter file (TOML); by default the one that the policy names."""
    baud: int | None = None
    """Speed of a real serial port, in bits a second; by default the board's."""
    fifo: bool = False
    """Ask for SCHED_FIFO and locked memory, for this program and the virtual rig; needs root or
    limits that allow it, and says where it was refused."""
    link_timeout_ticks: int = 3
    """The board stops the motor after so many control periods without a word of this program."""
    disturbances: int = 1
    """Number of kicks while balancing: one comes near the middle, several are spread at random."""
    disturbance_duty: float | None = None
    """Motor duty that a kick adds, 0 to 1, of random sign; by default what the rig's pole feels."""
    disturbance_s: float = 0.06
    """How long a kick lasts, in seconds."""
    recovery_s: float = 2.0
    """How long after a kick the pole may be outside the upright band, in seconds."""
    swing_up_limit_s: float = 20.0
    """The trial ends when the pole is not up by then, in seconds."""
    keep_zero: bool = False
    """A board that is homed already keeps its zero: wait for the pole to hang still, then arm.
    Campaigns do, and drive the base back to the middle between trials."""
    rest_limit_s: float = 180.0
    """How long that may take, in seconds."""
    randomised: bool = False
    """Draw the virtual plant's friction, masses and supply from the rig's ranges."""
    fault: Annotated[str | None, arg(help=fault_help())] = None
    """A fault to inject into the virtual rig: NAME@SECONDS after the motor was first driven."""
    check_wiring: bool = False
    """Push the base a little to and fro in place of the trial, and say which encoder counts
    backwards or nothing; the rig's signs are written into a new rig file in `out`."""
    wiring: str = ""
    """How the virtual rig is wired, to try --check-wiring without a rig: motor, base and pole, each
    right, reversed or unplugged, as in base=reversed,pole=unplugged; motor=held is a driver whose
    PWM input is held high."""
    paced: bool = False
    """Let the virtual rig's bytes through no faster than --baud has it."""
    firmware: Path | None = None
    """Folder of the virtual rig's firmware, built when needed; by default firmware/ in `out`."""
    report: bool = True
    """Write report.html after the trial."""
    live: bool = False
    """Serve a page for a browser of this machine: the pendulum, the figures, arm, disarm, e-stop.
    The trial then waits for its Arm button. Its address has a token: nobody else gets in."""
    live_port: int = 8770
    """Port of the live page, on 127.0.0.1 alone; 0 takes a free one."""
    live_loss: LiveLoss = "stop"
    """What happens within half a second when the live page's process, or the last browser that
    shows it, is gone while the motor is driven: stop it, or continue (the terminal's keys still
    stop). A browser that is connected but hangs counts as gone after three seconds."""


@dataclass(frozen=True)
class ReportConfig:
    """Make a self-contained HTML report of a run or a trial, or of two trials over each other."""

    path: Positional[Path]
    """A run's folder, a trial's folder, or a journal."""
    out: Path | None = None
    """The HTML file; by default report.html (of two: comparison.html) in the first's folder."""
    other: Positional[Path | None] = None
    """A second one: its trial is laid over the first's, its figures stand beside them."""


@dataclass(frozen=True)
class IdentifyConfig:
    """Find delay, friction, dead zone, masses and quantisation of a rig from one journal."""

    journal: Positional[Path]
    """A trial's journal.bin; the more the pendulum moved, the better."""
    out: Path = Path("runs/identify/rig.toml")
    """The rig file, for `trial --rig`, `build --rig` and training; a picture goes beside it."""
    rig: str | None = None
    """Rig name or file to start from; by default the journal's."""
