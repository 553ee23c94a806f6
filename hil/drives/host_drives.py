"""Host mode's drives: the board samples and actuates, the policy runs here.

The policy is the exported C, compiled for this machine; see `firmware_host.policy_library`.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from sparsectl.firmware_host.config_header import COMMAND_TICKS
from sparsectl.hil.drives.drives import Steps
from sparsectl.hil.drives.presence import Presence
from sparsectl.hil.drives.safety import FrameWatchdog, InterruptGuard
from sparsectl.hil.journal.journal import JournalWriter, Kind
from sparsectl.hil.journal.trace import Sample
from sparsectl.hil.link.link import Link, Refused
from sparsectl.hil.timing.computation import Computation
from sparsectl.protocol.wire import Frame, Reason, State


class Commands(Protocol):
    """Answers each OBSERVATION: the policy, or the controller that moves the base between
    trials."""

    def command(self, observation: Frame) -> dict[str, Any]:
        """Return the fields of COMMAND for the tick that `observation` sampled."""


class CountPolicy(Protocol):
    """A policy that keeps its own history and, a recurrent one, its state: `PolicyLibrary`, or one
    in another process."""

    def reset(self) -> None:
        """Forget the history."""

    def begin(self) -> None:
        """Take over the motor: a recurrent policy resets its state. It also does so by itself after
        skipped periods and after values that are not finite."""

    def act(self, base_count: int, pole_count: int, periods: int) -> tuple[float, int]:
        """Return the output for raw counts from home, and the time that it took in ns."""


class Commander:
    """Answers each OBSERVATION as the board itself would in device mode."""

    def __init__(self, policy: CountPolicy) -> None:
        self._policy = policy
        self._tick: int | None = None
        self._state = int(State.SAFE)
        self._answer: dict[str, Any] = {}

    def command(self, observation: Frame) -> dict[str, Any]:
        """Return the fields of COMMAND for the tick that `observation` sampled."""
        tick, state = observation["tick"], int(observation["state"])
        if tick == self._tick:
            return self._answer  # received twice: the policy has seen it
        if self._state == State.HOMING != state:
            self._policy.reset()  # counts from another zero mean nothing
        if state == State.ACTIVE != self._state:
            self._policy.begin()
        periods = 1 if self._tick is None else max(1, tick - self._tick)
        self._tick, self._state = tick, state
        output, inference_ns = self._policy.act(
            observation["base_count"], observation["pole_count"], periods
        )
        self._answer = {
            "tick": tick,
            "output": output,
            "inference_ns": inference_ns,
            "time_to_live": COMMAND_TICKS,
        }
        return self._answer


class HostStreamDrive:
    """The board ticks by its own clock; each OBSERVATION is answered by a COMMAND at once."""

    def __init__(
        self,
        link: Link,
        guard: InterruptGuard,
        period_us: int,
        commander: Commands,
        journal: JournalWriter,
        presence: Presence | None = None,
    ) -> None:
        self._link, self._guard, self._commander = link, guard, commander
        self._journal = journal
        self._period_s = period_us * 1e-6
        self._watchdog = FrameWatchdog(link, presence or Presence(self._period_s))

    def advance(self) -> list[Sample]:
        """See `hil.drives.drives.Drive`."""
        self._guard.check()
        received = self._link.next_frame(self._period_s)
        if received is None:
            self._watchdog.check()
            return []
        self._watchdog.feed()
        if received.frame.name == "OBSERVATION":
            self._answer(received.frame)
        if received.frame.name != "TICK":
            return []
        self._link.send_timesync()  # after the command, which is urgent
        return [Sample.from_tick(received.frame, received.host_ns)]

    def _answer(self, observation: Frame) -> None:
        start_ns = time.monotonic_ns()
        command = self._commander.command(observation)
        done = Computation(observation["tick"], start_ns, time.monotonic_ns())
        self._journal.write(Kind.COMPUTATION, done.pack(), done.end_ns)
        self._link.send("COMMAND", **command)


class HostLockstepDrive:
    """One tick per step: the board samples, waits, and acts on the command, so that a trial is
    reproducible."""

    def __init__(
        self, link: Link, guard: InterruptGuard, steps: Steps, commander: Commands
    ) -> None:
        self._link, self._guard, self._commander = link, guard, commander
        self._steps = steps

    def advance(self) -> list[Sample]:
        """See `hil.drives.drives.Drive`."""
        self._guard.check()
        self._steps.run(1)
        samples = []
        while (received := self._link.next_frame(0)) is not None:
            if received.frame.name in ("TICK", "OBSERVATION"):
                self._steps.heard()
            if received.frame.name == "TICK":  # of a tick whose answer was lost
                samples.append(Sample.from_tick(received.frame, received.host_ns))
            if received.frame.name == "OBSERVATION":
                samples += self._answer(received.frame)
        return samples

    def _answer(self, observation: Frame) -> list[Sample]:
        """Send the command and return the tick that it makes; none if its TICK was lost."""

        def is_this(frame: Frame) -> bool:
            return bool(frame["tick"] == observation["tick"])

        command = {**self._commander.command(observation), "inference_ns": 0}  # the board's model
        try:
            done = self._link.request("COMMAND", answer="TICK", matches=is_this, **command)
        except Refused as error:
            if error.reason is not Reason.WRONG_TICK:
                raise
            return []  # asked again: the board has acted on it, or has judged that it came too late
        return [Sample.from_tick(done.frame, done.host_ns)]
