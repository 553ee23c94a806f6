"""The fault matrix: every fault, injected into the firmware in lockstep, and how it ended.

The board's firmware runs as it is, with the policy inside, a simulated rig behind it and a cable
between it and a bare host. The criterion is the command at the motor, tick by tick.
"""

from __future__ import annotations

import math
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.config_header import (
    STUCK_DUTY,
    STUCK_TRAVEL,
    safety_ticks,
)
from sparsectl.firmware_host.policy_library import PolicyLibrary, build_policy_library
from sparsectl.hil.fault_matrix.host import COMMAND_FAULTS, REQUEST_FAULTS, BareHost, PolicyHost
from sparsectl.hil.faults.board import board_options
from sparsectl.hil.faults.kinds import FAULTS, FaultKind, FaultSpec
from sparsectl.hil.faults.line import FaultyLine
from sparsectl.hil.faults.plant import FaultyPlant
from sparsectl.hil.simulation.plant_server import PlantStart, serve
from sparsectl.plants.rig_constants import RigConstants
from sparsectl.protocol.wire import Fault, Frame, Mode, State, fields_to_board

MARGIN_TICKS: Final = 3
"""The motor is off within so many control periods of what the board needs to know."""
AFTER_S: Final = 0.7
"""Time from homing to the fault, in s: the middle of the swing-up."""
LONGEST_S: Final = 5.0
"""A fault that has not ended the run by then has not ended it."""
_START_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Outcome:
    """The outcome of one fault."""

    name: str
    state: str
    fault: str
    off_ticks: int | None
    """Control periods from the fault or its precondition to the motor off; None: never on."""
    limit_ticks: int
    """The most that are allowed: what the check has to see, and MARGIN_TICKS."""
    shown: bool
    """True if the precondition came about; a board may notice the fault before it does."""
    as_it_should: bool


@dataclass(frozen=True)
class Matrix:
    """Firmware and policy, built once, and the rig's limits."""

    policy: Path
    rig: str
    constants: RigConstants
    folder: Path

    def build(self) -> Matrix:
        """Build the firmware and the policy's library into `folder`.

        Raises:
            UserError: no compiler, or a policy that does not fit.
        """
        build_firmware(self.policy, "host", self.constants, self.folder / "firmware")
        build_policy_library(self.policy, self.constants, self.folder / "library")
        return self

    def run(self, name: str) -> Outcome:
        """Inject the fault called `name` and see what the board does.

        Raises:
            UserError: the board refused something that it should not have.
        """
        return _Run(self, FAULTS[name]).run()

    def window_ticks(self, kind: FaultKind) -> int:
        """Return the number of ticks that the fault's check has to see before it can know."""
        return {"": 0, **safety_ticks(self.constants)}[kind.window]


class _Run:
    """One fault, from boot to its end."""

    def __init__(self, matrix: Matrix, kind: FaultKind) -> None:
        self.matrix, self.kind = matrix, kind
        self.spec = FaultSpec(kind, AFTER_S)
        self.period_s = matrix.constants.period_us * 1e-6
        self.duties: list[tuple[int, float]] = []
        plant = PlantStart(matrix.rig, 0, False).make()
        self.truth = plant
        self.faulty = FaultyPlant(plant, self.spec) if kind.family == "plant" else None
        self.line: FaultyLine | None = None
        self.failed_ns: int | None = None
        """Time at which the host failed, in ns; None: not yet."""
        self.restarted: Frame | None = None
        """HELLO of a board that its watchdog has started again."""
        self.begun_ns: int | None = None
        self.precondition_ns: int | None = None
        self._hello: dict[str, Any] = {}
        self._nonce = 0
        self._travel, self._position, self._driven = 0.0, 0.0, 0
        self._driven_still = self._commanded_back = 0

    @property
    def _due_us(self) -> int:
        """Return when a board's fault begins, by its own clock, in us; a board is armed as soon as
        it has found home."""
        home_us = safety_ticks(self.matrix.constants)["zero"] * self.matrix.constants.period_us
        return home_us + round(AFTER_S * 1e6)

    def run(self) -> Outcome:
        with self._board() as address:
            line = FaultyLine(
                address, self.spec if self.kind.family == "line" else None, is_virtual=True
            )
            line.keep_frames = True
            self.line = line
            thread = threading.Thread(target=line.run, daemon=True)
            thread.start()
            try:
                with BareHost(line.address) as host:
                    self._drive(host, line)
            finally:
                thread.join(_START_TIMEOUT_S)
        return self._judge(line)

    @contextmanager
    def _board(self) -> Iterator[str]:
        """Run the firmware's process, with the plant in a thread; yield the path of its port."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        server = threading.Thread(target=self._serve, args=(ours,), name="plant", daemon=True)
        elf = self.matrix.folder / "firmware" / "firmware.elf"
        command = [str(elf), "--clock", "lockstep", "--plant-fd", str(theirs.fileno())]
        if self.kind.family == "board":
            command += board_options(self.kind.name, self._due_us, self.matrix.constants.period_us)
        with (
            ours,
            subprocess.Popen(
                command, pass_fds=(theirs.fileno(),), stdout=subprocess.PIPE, text=True
            ) as firmware,
        ):
            theirs.close()
            server.start()
            assert firmware.stdout is not None
            try:
                yield firmware.stdout.readline().split()[1]
                firmware.wait(_START_TIMEOUT_S)
            finally:
                firmware.kill()
                server.join(_START_TIMEOUT_S)

    def _serve(self, channel: socket.socket) -> None:
        serve(self.faulty or self.truth, channel, self._note)

    def _note(self, time_ns: int, duty: float) -> None:
        """Note the duty that the firmware has asked for, and see whether the fault shows yet."""
        self.duties.append((time_ns, duty))
        if self.begun_ns is None and self._has_begun():
            self.begun_ns = time_ns
            self._position = self.truth.state()[0]
        if self.begun_ns is not None and self.precondition_ns is None and self._shows():
            self.precondition_ns = time_ns

    def _has_begun(self) -> bool:
        if self.faulty is not None:
            driven = any(duty != 0.0 for _, duty in self.duties[-2:])
            return self.faulty.begun_s is not None and driven
        if self.kind.family == "line":
            return self.line is not None and self.line.begun_s is not None
        if self.kind.family == "board":
            return self.duties[-1][0] >= 1000 * self._due_us
        return self.failed_ns is not None

    def _shows(self) -> bool:
        """Return whether there is anything that a board could see."""
        position, velocity, _, _ = self.truth.state()
        self._travel += abs(position - self._position)
        self._position = position
        constants = self.matrix.constants
        at_limit = abs(position) >= constants.base_limit
        still = abs(velocity) * self.period_s < constants.base_unit
        hard = abs(self.duties[-1][1]) >= STUCK_DUTY * constants.max_duty
        self._driven += hard and len(self.duties) % 2  # one of a tick's two requests
        self._driven_still = self._driven_still + hard if still else 0
        back = self.duties[-1][1] <= -STUCK_DUTY * constants.max_duty
        self._commanded_back = self._commanded_back + 1 if back else 0  # twice a tick
        return {
            "": True,
            "base at its limit": at_limit,
            "base driven at rest, or at its limit": self._driven_still > 0 or at_limit,
            "motor commanded back": self._commanded_back >= 4,
            "limit switch open": self.truth.limit_switch_open(),
            "base travelled": self._travel >= STUCK_TRAVEL * constants.base_limit,
            "base driven": self._driven >= safety_ticks(constants)["stuck"],
        }[self.kind.precondition]

    def _drive(self, host: BareHost, line: FaultyLine) -> None:
        """Home, arm, let the fault come, and go on until the board has stopped, or has not."""
        by_host = self.kind.name in COMMAND_FAULTS
        hello = host.ask("HELLO").values
        host.ask("MODE", mode=int(Mode.HOST if by_host else Mode.DEVICE))
        host.ask("CONFIG", **{name: hello[name] for name in fields_to_board("CONFIG")})
        host.ask("HOME")
        policy = self._policy(host) if by_host else None
        state = State.HOMING
        while state == State.HOMING:
            state = self._step(host, policy)
        if state != State.HOMED:
            return
        self._hello, self._nonce = hello, host.ask("HELLO")["arm_nonce"]
        host.ask("ARM", nonce=self._nonce)
        due_tick = host.tick + 1 + round(AFTER_S / self.period_s)
        last_tick = host.tick + round(LONGEST_S / self.period_s)
        while host.tick < last_tick and not self._has_ended(line):
            if self.kind.family == "host" and host.tick >= due_tick and self.failed_ns is None:
                self.failed_ns = round(line.device_s * 1e9)
                self._fail(host, policy)
            if self.kind.window == "watchdog" and self._is_last_tick(host.tick + 1):
                host.send("STEP", until_tick=host.tick + 1)
                self.restarted = host.greet_again(lambda hello: hello["state"] != State.ACTIVE)
                return
            self._step(host, policy)
        for _ in range(MARGIN_TICKS):
            self._step(host, policy)

    def _is_last_tick(self, tick: int) -> bool:
        return tick * self.matrix.constants.period_us >= self._due_us

    def _policy(self, host: BareHost) -> PolicyHost:
        return PolicyHost(host, PolicyLibrary(self.matrix.folder / "library" / "policy.so"))

    def _step(self, host: BareHost, policy: PolicyHost | None) -> State:
        silent = self.kind.name == "silent_host" and self.failed_ns is not None
        frames = host.step(alive=not silent)
        if policy is not None:
            policy.answer(frames)
        states = [frame["state"] for frame in frames if frame.name in ("TICK", "OBSERVATION")]
        return State(states[-1]) if states else State.ACTIVE

    def _fail(self, host: BareHost, policy: PolicyHost | None) -> None:
        if policy is not None:
            policy.spoil(COMMAND_FAULTS[self.kind.name])
        elif self.kind.name in REQUEST_FAULTS:
            REQUEST_FAULTS[self.kind.name](host, self._hello, self._nonce)

    def _has_ended(self, line: FaultyLine) -> bool:
        last = self._last_state(line.frames)
        return last is not None and last[0] == State.FAULT

    def _last_state(self, frames: list[Frame]) -> tuple[State, Fault] | None:
        last = self.restarted or (frames[-1] if frames else None)
        return (State(last["state"]), Fault(last["fault"])) if last else None

    def _judge(self, line: FaultyLine) -> Outcome:
        state, fault = self._last_state(line.frames) or (State.BOOT, Fault.NONE)
        off_ticks = self._off_ticks()
        limit = self.matrix.window_ticks(self.kind) + MARGIN_TICKS
        in_time = off_ticks is None or off_ticks <= limit or self._knew_before()
        if self.kind.state == State.ACTIVE:
            off_ticks, in_time = None, True  # it went off when the host had seen enough
        return Outcome(
            name=self.kind.name,
            state=state.name,
            fault=fault.name,
            off_ticks=off_ticks,
            limit_ticks=limit,
            shown=not self._knew_before(),
            as_it_should=state == self.kind.state and fault in self.kind.ends and in_time,
        )

    def _knew_before(self) -> bool:
        """Return whether the board stopped before it had to know."""
        return bool(self.kind.precondition) and self.precondition_ns is None

    def _off_ticks(self) -> int | None:
        """Return the number of periods from the fault to the last moment at which the motor was
        driven."""
        last = max((i for i, (_, duty) in enumerate(self.duties) if duty != 0.0), default=None)
        since_ns = self._since_ns()
        if last is None or last + 1 == len(self.duties) or since_ns is None:
            return None
        off_ns = self.duties[last + 1][0]
        return max(0, math.ceil((off_ns - since_ns) * 1e-9 / self.period_s - 0.01))

    def _since_ns(self) -> int | None:
        """Return the time from which on the board could know, in ns; if it knew before, the time of
        the fault."""
        if self.kind.precondition and self.precondition_ns is not None:
            return self.precondition_ns
        if self.kind.family == "line" and self.line is not None and self.line.begun_s is not None:
            return round(self.line.begun_s * 1e9)
        if self.kind.family == "board":
            return 1000 * self._due_us
        return self.failed_ns if self.kind.family == "host" else self.begun_ns
