"""Move the base back to the middle between two trials; the board keeps its home position.

If the board is HOMED, the host drives the base there in host mode, slowly, under all of the board's
checks. A board that stopped with a fault drives nothing: a person pushes the base back, so that the
next homing does not take the place where it stopped for the middle.
"""

from __future__ import annotations

from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.drives.drives import Drive, StreamDrive, advance_until
from sparsectl.hil.drives.host_drives import HostStreamDrive
from sparsectl.hil.drives.mover import NEAR, Mover
from sparsectl.hil.drives.safety import InterruptGuard
from sparsectl.hil.journal.journal import JournalWriter
from sparsectl.hil.journal.trace import Sample
from sparsectl.hil.link.session import Session
from sparsectl.hil.planning.plan import Plan, make_plan
from sparsectl.hil.trial.guarded_session import guarded_session
from sparsectl.hil.trial.trial import STOPPING_LIMIT_S
from sparsectl.protocol.wire import Fault, Mode, State

MOVE_LIMIT_S = 15.0
ATTEMPTS = 5
OURS = (Fault.COMMAND_LATE, Fault.LINK_LOST)
"""Faults that a delay of the machine itself causes: the home position is still valid, so the move
is repeated."""
HELD_S = 1.0
"""How long a pushed base has to stay in the middle."""
JOURNAL = "centring.bin"
"""A journal beside the trial's, of the frames while the base was moved back."""


def centre(config: TrialConfig) -> float:
    """Move the base back before the trial of `config`; return from where, in the base's unit.

    Raises:
        UserError: the board differs or is gone, or the base does not come to the middle.
        SystemExit: a signal or the e-stop key ended it, motor off.
    """
    plan = make_plan(config)
    with guarded_session(plan, JOURNAL, "moving the base back") as opened:
        return _Centring(plan, opened.session, opened.guard, opened.journal).run()


class _Centring:
    def __init__(
        self, plan: Plan, session: Session, guard: InterruptGuard, journal: JournalWriter
    ) -> None:
        self.plan, self.session, self.guard, self.journal = plan, session, guard, journal
        self.period_us = plan.expectation.rig.period_us
        self.unit_per_count = plan.rig.base.unit_per_count

    def run(self) -> float:
        session, expectation = self.session, self.plan.expectation
        session.greet(expectation)
        session.configure(expectation, Mode.DEVICE)
        watching = StreamDrive(session.link, self.guard, self.period_us)
        start = self._next(watching)
        if not self._is_near(start):
            if start.state == State.HOMED:
                self._drive()
            else:
                self._await_push(watching)
        return start.base_count * self.unit_per_count

    def _drive(self) -> None:
        """Move the base in host mode; the home position stays valid, since the encoders do not
        change."""
        for left in reversed(range(ATTEMPTS)):
            fault = self._move()
            if fault == Fault.NONE:
                return
            if not left or fault not in OURS:
                raise UserError(
                    f"the board stopped the base on its way to the middle: {fault.name}; "
                    "push it there, then run the same command again"
                )

    def _move(self) -> Fault:
        """Try once; return the fault with which the board stopped the move."""
        session, mover = self.session, Mover(self.plan.rig)
        session.configure(self.plan.expectation, Mode.HOST)
        drive = HostStreamDrive(session.link, self.guard, self.period_us, mover, self.journal)
        self._next(drive)  # a board that has no COMMAND yet must not be armed
        session.arm()
        last = self._next(drive)
        started_us = last.time_us
        while not mover.has_arrived:
            if last.state == State.FAULT:
                return Fault(last.fault)
            if last.time_us - started_us > MOVE_LIMIT_S * 1e6:
                raise UserError(
                    f"the base is not in the middle after {MOVE_LIMIT_S:g} s; push it there, then "
                    "run the same command again"
                )
            last = self._next(drive)
        session.disarm()
        advance_until(drive, {State.HOMED, State.FAULT}, STOPPING_LIMIT_S, "stopping")
        return Fault.NONE

    def _await_push(self, drive: Drive) -> None:
        """Wait while a person moves the base; the board reports its position."""
        last = since = self._next(drive)
        limit_s, started_us = self.plan.config.rest_limit_s, last.time_us
        with Progress(bar_format="push the base to the middle: {postfix}") as bar:
            while last.time_us - since.time_us < HELD_S * 1e6:
                last = self._next(drive)
                since = since if self._is_near(last) else last
                away = last.base_count * self.unit_per_count
                bar.set_postfix_str(f"{away:+.3f} {self.plan.rig.base.unit}", refresh=False)
                bar.update()
                if last.time_us - started_us > limit_s * 1e6:
                    raise UserError(
                        f"the base is {away:+.3f} {self.plan.rig.base.unit} from the middle "
                        f"after {limit_s:g} s; push it there, then run the same command again"
                    )

    def _is_near(self, sample: Sample) -> bool:
        return abs(sample.base_count * self.unit_per_count) <= 2 * NEAR * self.plan.rig.base.limit

    def _next(self, drive: Drive) -> Sample:
        """Return the next tick.

        Raises:
            LinkLost: the board has gone.
        """
        while True:
            if samples := drive.advance():
                return samples[-1]
