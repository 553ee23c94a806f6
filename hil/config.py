"""Settings of a trial and a report. Imports nothing heavy: `--help` reads this file."""

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
    """Run a policy on a real or virtual pendulum, and account for every tick."""

    policy: Path
    """Folder that `sparsectl export` wrote: policy.onnx and the C files."""
    port: str = "virtual"
    """/dev/ttyACM0, socket://HOST:PORT, rfc2217://HOST:PORT, or virtual, which needs no
    hardware."""
    board: str = "host"
    """Board behind the port, which determines the baud rate. With --port virtual and --mode pil,
    any board of `sparsectl build` runs in its emulator (the same as --port emulated:BOARD)."""
    mode: Mode = "device"
    """device: the policy runs on the board; host: the policy runs on this computer, and the board
    does the I/O and the safety checks; pil: the policy runs on the board, and the plant is
    simulated."""
    clock: Clock = "realtime"
    """realtime: each tick at its deadline. The virtual rig also has lockstep, which runs tick by
    tick and is reproducible, and fast, which starts each tick as soon as the previous one is done.
    pil supports fast on any board."""
    seconds: float = 30.0
    """How long to balance once the pole is up, in seconds."""
    seed: int = 0
    """Seed of the virtual plant and of the disturbances."""
    out: Path | None = None
    """Folder for journal and report; an earlier trial in it is replaced. By default a new one in
    runs/."""
    rig: str | None = None
    """Rig name or parameter file (TOML); by default the one that the policy names."""
    baud: int | None = None
    """Baud rate of a real serial port; by default the board's."""
    fifo: bool = False
    """Request SCHED_FIFO and locked memory for this program and the virtual rig; needs root or
    suitable limits, and reports where it was refused."""
    link_timeout_ticks: int = 3
    """Control periods without any message from this program after which the board stops the
    motor."""
    disturbances: int = 1
    """Number of kicks while balancing: one comes near the middle, several at random times."""
    disturbance_duty: float | None = None
    """Motor duty of a kick, 0 to 1, with random sign; by default enough to disturb the rig's
    pole."""
    disturbance_s: float = 0.06
    """How long a kick lasts, in seconds."""
    recovery_s: float = 2.0
    """How long the pole may be outside the upright band after a kick, in seconds."""
    swing_up_limit_s: float = 20.0
    """End the trial if the pole is not up after this many seconds."""
    keep_zero: bool = False
    """Keep the zero of a board that is already homed: wait for the pole to hang still, then arm.
    Campaigns do this, and drive the base back to the middle between trials."""
    rest_limit_s: float = 180.0
    """How long to wait for the pole to hang still, in seconds."""
    randomised: bool = False
    """Draw the virtual plant's friction, masses and supply from the rig's ranges."""
    fault: Annotated[str | None, arg(help=fault_help())] = None
    """A fault to inject into the virtual rig: NAME@SECONDS after the motor was first driven."""
    check_wiring: bool = False
    """Instead of a trial, push the base a little forward and back, report which encoder counts
    backwards or not at all, and write the signs into a new rig file in `out`."""
    wiring: str = ""
    """Wiring of the virtual rig, to try --check-wiring without hardware: motor, base and pole, each
    right, reversed or unplugged, as in base=reversed,pole=unplugged; motor=held is a driver whose
    PWM input is held high."""
    paced: bool = False
    """Limit the virtual rig's line to the speed of --baud."""
    firmware: Path | None = None
    """Folder of the virtual rig's firmware, built if needed; by default firmware/ in `out`. With
    --compare, its name with -A and -B."""
    report: bool = True
    """Write report.html after the trial."""
    live: bool = False
    """Serve a live page to a browser on this computer: the pendulum, the figures, arm, disarm and
    e-stop. The trial then waits for its Arm button. A token in its address keeps others out."""
    live_port: int = 8770
    """Port of the live page, on 127.0.0.1 only; 0 takes a free one."""
    live_loss: LiveLoss = "stop"
    """What to do, within half a second, if the live page's process or its last browser disappears
    while the motor is driven: stop the motor, or continue (the keys in the terminal still stop it).
    A browser that is connected but hangs counts as gone after three seconds."""


@dataclass(frozen=True)
class ReportConfig:
    """Write a self-contained HTML report of a run, a trial or a sweep, or of two trials in
    comparison."""

    path: Positional[Path]
    """The folder of a run, a trial or a sweep, or a journal."""
    out: Path | None = None
    """The HTML file; by default report.html (for two, comparison.html) in the first one's
    folder."""
    other: Positional[Path | None] = None
    """A second one to compare: its trial is plotted over the first, and its figures appear
    beside."""


@dataclass(frozen=True)
class IdentifyConfig:
    """Estimate a rig's delay, friction, dead zone, masses and encoder scales from one journal."""

    journal: Positional[Path]
    """A trial's journal.bin; the more the pendulum moved in it, the better."""
    out: Path = Path("runs/identify/rig.toml")
    """The rig file, for `trial --rig`, `build --rig` and training; a plot is written beside it."""
    rig: str | None = None
    """Rig name or file to start from; by default the journal's."""
