"""A hardware-in-the-loop trial: one policy, one pendulum, every tick accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.boards import find_board
from sparsectl.hil.analysis.balance import CaptureWatch
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.drives.drives import Drive, advance_until
from sparsectl.hil.drives.driving import host_policy, make_drive
from sparsectl.hil.drives.estop_key import EstopKey
from sparsectl.hil.drives.host_drives import Commander
from sparsectl.hil.drives.presence import Presence
from sparsectl.hil.drives.safety import (
    Interrupted,
    InterruptGuard,
    emergency_stop,
    motor_after_stop,
)
from sparsectl.hil.drives.settle import await_rest
from sparsectl.hil.drives.terminal import say
from sparsectl.hil.journal.header import Kick
from sparsectl.hil.journal.journal import JournalLost, JournalWriter
from sparsectl.hil.journal.recorder import LiveRecorder, LockstepRecorder
from sparsectl.hil.journal.trace import Sample
from sparsectl.hil.link.link import Link, LinkLost, Refused
from sparsectl.hil.link.session import Session
from sparsectl.hil.live.drive import ShownDrive, live_feed
from sparsectl.hil.live.feed import LiveFeed
from sparsectl.hil.planning.plan import Plan, make_plan
from sparsectl.hil.ports import OpenPort
from sparsectl.hil.timing.percentiles import NoiseFloor
from sparsectl.hil.timing.scheduling import RealtimePriority
from sparsectl.hil.trial.advice import advice, homing_failed
from sparsectl.hil.trial.conclusion import Ending, conclude
from sparsectl.hil.trial.hidden_journal import hidden_journal, is_shown, show, trial_folder
from sparsectl.hil.trial.progress import Progress
from sparsectl.hil.trial.silent_pole import SilentPole
from sparsectl.protocol.wire import Fault, Mode, State

if TYPE_CHECKING:
    from sparsectl.plants.plant import Plant

HOMING_LIMIT_S = 12.0
"""The board itself ends homing after 10 s."""
STOPPING_LIMIT_S = 3.0
COMPLETED = "completed"
SILENCES = (Fault.LINK_LOST, Fault.COMMAND_LATE)
"""Faults that a host causes if it does not run."""
MODES = {"device": Mode.DEVICE, "host": Mode.HOST, "pil": Mode.PIL}


def run_trial(config: TrialConfig) -> dict[str, Any]:
    """Run one trial and write its journal, summary and report.

    A trial that is refused before arming leaves no files. From arming on, however it ends, the
    journal is closed and `summary.json` written.

    Returns:
        The keys of `hil.analysis.trial_result.TrialResult`; `journal` and `report`, the paths of
            both; and `exit_code` if the board ended the trial with a fault.

    Raises:
        UserError: bad input, a board that differs, or one that vanished (files are written).
        SystemExit: a signal or the e-stop key ended the trial, motor off (files are written).
    """
    plan = make_plan(config)
    with trial_folder(plan):
        return _run(plan)


def _run(plan: Plan) -> dict[str, Any]:
    ending: UserError | Interrupted | None = None
    with InterruptGuard() as guard, EstopKey() as key, hidden_journal(plan) as journal:
        guard.add_button("the e-stop key", key.is_pressed)
        trial = _Trial(plan, journal, guard)
        try:
            with live_feed(plan, guard) as feed, _board(plan, journal) as (port, plant):
                trial.run(port, plant, feed)
        except (UserError, Interrupted) as error:
            ending = error
        except Exception:  # a defect of ours, or no memory: first say what the motor does
            if trial.armed:
                say(f"trial ended by a failure of this program: {trial.motor}")
            raise
        if not is_shown(journal):
            _abandon(ending)
        ended = Ending(ending, trial.why, trial.fault, trial.motor, journal.is_in_place)
    return conclude(plan, ended)


class _Trial:
    """The phases of one trial, in the order of this class."""

    def __init__(self, plan: Plan, journal: JournalWriter, guard: InterruptGuard) -> None:
        self.plan, self.journal, self.guard = plan, journal, guard
        self.config = plan.config
        self.feed: LiveFeed | None = None
        self.why, self.fault = "", Fault.NONE
        self.last: Sample | None = None
        self.armed = False
        self.phase = ""
        self.commander: Commander | None = None
        self.presence = Presence(plan.rig.period_s)
        self._is_stop_tried = self._has_stopped = False

    def run(self, port: OpenPort, plant: Plant | None, feed: LiveFeed | None) -> None:
        """Run the trial, from HELLO to STATS; send ESTOP after any failure."""
        self.feed = feed
        if self.config.mode == "host":
            self.commander = host_policy(self.plan)
        recorder = (LockstepRecorder if self.plan.is_lockstep else LiveRecorder)(self.journal)
        if self.plan.port_request().line.fault is not None:
            recorder.patience = 1.0  # an answer that does not come is lost, not late
        with (
            RealtimePriority(self.config.fifo) as priority,
            Link(port.address, port.baud or self.plan.baud, recorder, was_used=True) as link,
        ):
            if priority.asked:
                self.journal.note("priority", None, **priority.to_json())
            session = Session(link, self.journal)
            try:
                with self._stopping_first(link):
                    why = self._phases(session, plant)
                    self._end(session, why)
            except UserError as error:
                cause = session.explain(error)
                if isinstance(cause, LinkLost):
                    cause = LinkLost(self._in_order(link, str(cause)))
                if self._is_stop_tried:  # a board that we do not know is not ours to stop
                    motor = "" if isinstance(cause, LinkLost) else f"; {self.motor}"
                    self._note_end(link, f"{cause}{motor}")
                raise cause from error
            except Interrupted as error:
                if self._is_stop_tried:
                    self._note_end(link, f"{self._in_order(link, str(error))}; {self.motor}")
                raise

    @contextmanager
    def _stopping_first(self, link: Link) -> Iterator[None]:
        """Stop the board before anything else is done, if anything fails in the block.

        A board that was never armed is not stopped, unless a person asks for it: it may belong to
        somebody else.
        """
        try:
            yield
        except BaseException as error:
            wanted = self.armed or isinstance(error, Interrupted | LinkLost)
            if wanted and not self._is_stop_tried:
                self._is_stop_tried = True
                self.presence.look()  # a clock is read: the stop itself takes time
                self._has_stopped = emergency_stop(link)
            raise

    @property
    def motor(self) -> str:
        """Describe the state of the motor after a stop."""
        return motor_after_stop(
            self._has_stopped, self.config.link_timeout_ticks, self.plan.rig.period_s
        )

    def _in_order(self, link: Link, what: str) -> str:
        """Describe what the board did before `what` happened: a fault that it reports is older than
        its silence, and than the stop that an interrupt sent, which would not have replaced it.
        Before it was armed, its fault is an earlier trial's."""
        _, fault = link.board_said or (State.SAFE, Fault.NONE)
        if fault in (Fault.NONE, Fault.ESTOP) or not self.armed:
            return what
        return f"{self._stopped(fault)}; after that, {what}"

    def _phases(self, session: Session, plant: Plant | None) -> str:
        plan = self.plan
        self._phase("check")
        hello = self._greet(session)
        self.guard.check()
        session.configure(plan.expectation, MODES[self.config.mode])
        self._phase("golden vectors")
        if self.commander is None:  # else the host has replayed them
            session.replay_golden_vectors(hello["vector_count"])
        self.guard.check()
        if plan.is_realtime and self.config.mode != "pil":
            session.synchronise()
        drive = self._drive(session, plant)
        floor = self._noise_floor(hello["period_us"])
        with floor or nullcontext(), self._stopping_first(session.link):
            self._home(session, drive)
            self._await_arm(drive)
            self._phase("arm")
            show(plan, self.journal)
            self.armed = True
            session.arm()
            why = self._balance(session, drive)
            self._stop(session, drive)  # at once: a board does not wait for its host's sums
            if floor is not None:
                self.journal.note("noise_floor", lateness_us=floor.finish())
        return why

    def _greet(self, session: Session) -> dict[str, Any]:
        try:
            return session.greet(self.plan.expectation)
        except LinkLost as error:
            link, usual = session.link, find_board(self.config.board).baud
            if link.counters.corrupt or self.plan.baud != usual:
                came = "bytes arrive, but no frame" if link.counters.corrupt else "nothing comes"
                board = self.config.board
                what = f"board {board} speaks {usual}: leave --baud out, or name its --board"
                if self.plan.baud == usual:
                    what = (
                        f"is it another device's port? If it is another board than {board}, name "
                        "its --board; if it has another firmware, build and flash it"
                    )
                raise LinkLost(
                    f"{came} from the board on {link.port} at {self.plan.baud} baud; {what}"
                ) from error
            raise

    def _home(self, session: Session, drive: Drive) -> None:
        """Home the encoders; base and pole must stand still."""
        if self.config.keep_zero and session.hello()["state"] == State.HOMED:
            self._phase("rest")
            self.last = await_rest(drive, self.config.rest_limit_s)
            return
        self._phase("home")
        session.home()
        ends: set[int] = {State.HOMED, State.FAULT}
        self.last = advance_until(drive, ends, HOMING_LIMIT_S, "homing")
        if self.last.state == State.FAULT:
            raise UserError(homing_failed(Fault(self.last.fault)))

    def _await_arm(self, drive: Drive) -> None:
        """Wait for the Arm button if there is a live page."""
        if self.feed is None:
            return
        self._phase("homed: waiting for Arm")
        self.feed.forget("arm")  # what was pressed before there was anything to arm
        while not self.feed.asked("arm"):
            drive.advance()
        self.feed.is_watched = True

    def _balance(self, session: Session, drive: Drive) -> str:
        """Swing up, balance and kick, until the trial is over; return the reason why it ended."""
        watch, kicks = CaptureWatch(), list(self.plan.kicks)
        silence = SilentPole()
        start_us: int | None = None
        self._phase("swing up")
        self.presence.rest()
        with Progress(self.config.seconds) as progress, self._stopping_first(session.link):
            while True:
                for sample in drive.advance():
                    self.last = sample
                    if sample.state == State.FAULT:
                        return self._stopped(Fault(sample.fault), silence.explanation)
                    if sample.state != State.ACTIVE:
                        continue
                    start_us = sample.time_us if start_us is None else start_us
                    watch.take(sample.time_us, self._angle_rad(sample))
                    silence.take(sample)
                    if watch.captured_us is not None and self.phase != "balance":
                        self._phase("balance")
                    progress.show(sample, watch.captured_us, self._angle_rad(sample))
                if self.feed is not None and self.feed.asked("disarm"):
                    return "disarmed on the live page"
                if start_us is None or self.last is None:
                    continue
                now_us = self.last.time_us
                if watch.captured_us is None:
                    if now_us - start_us > self.config.swing_up_limit_s * 1e6:
                        limit_s = f"{self.config.swing_up_limit_s:g} s"
                        why = f": {silence.explanation}" if silence.explanation else ""
                        return f"the pole was not up within {limit_s}{why}"
                    continue
                held_s = (now_us - watch.captured_us) * 1e-6
                if held_s >= self.config.seconds:
                    return COMPLETED
                if kicks and held_s >= kicks[0].after_s:
                    self._kick(session, kicks.pop(0), now_us)

    def _stopped(self, fault: Fault, of_silent_pole: str = "") -> str:
        """Explain that and why the board has stopped the trial, and what to do about it; of a stuck
        pole whose encoder never counted, `of_silent_pole` tells more than the fault."""
        absence = self.presence.recent()
        if absence is not None and fault in SILENCES:
            with suppress(JournalLost):  # what is told does not depend on it
                self.journal.note("absence", seconds=round(absence.seconds, 3))
            return (
                f"{absence.words}; the board received nothing and stopped the trial: {fault.name}"
            )
        period_us = self.plan.expectation.rig.period_us
        share = self.plan.line_share if self.plan.is_realtime else 0.0
        what = advice(fault, period_us, self.config.link_timeout_ticks, share)
        if fault == Fault.STUCK_POLE:
            what = of_silent_pole or what
        return f"the board stopped the trial: {fault.name}" + (f" ({what})" if what else "")

    def _kick(self, session: Session, kick: Kick, now_us: int) -> None:
        patience_s = max(1, self.config.link_timeout_ticks - 1) * self.plan.rig.period_s
        is_confirmed = True
        try:
            session.disturb(kick.duty, kick.ticks, patience_s)
        except Refused:
            return  # the board has just stopped; its next tick says why
        except LinkLost:
            is_confirmed = False  # the ticks show whether it came; if the board has gone, they too
        finally:
            self.presence.rest()
        self.journal.note(
            "kick", time_us=now_us, duty=kick.duty, ticks=kick.ticks, confirmed=is_confirmed
        )

    def _stop(self, session: Session, drive: Drive) -> None:
        """Turn the motor off. A fault stays latched, for a person to see."""
        self._phase("stop")
        if self.last is None or self.last.state == State.FAULT:
            return
        session.disarm()
        stopped = {State.HOMED, State.SAFE, State.FAULT}
        deadline_us = self.last.time_us + STOPPING_LIMIT_S * 1e6
        while self.last.state not in stopped and self.last.time_us < deadline_us:
            for sample in drive.advance():
                self.last = sample

    def _end(self, session: Session, why: str) -> None:
        try:
            stats = session.stats()
        except LinkLost:  # a board that stopped because of its cable
            stats = None
        self._note_end(session.link, why, stats)

    def _note_end(self, link: Link, why: str, stats: dict[str, Any] | None = None) -> None:
        """Note how the trial ended, with the board's last state."""
        state, fault = link.board_said or (State.SAFE, Fault.NONE)
        if self._has_stopped and fault == Fault.NONE:
            state, fault = State.FAULT, Fault.ESTOP
        self.why, self.fault = why, fault
        if self.feed is not None:
            self.feed.end(why, state=state.name, fault=fault.name)
        with suppress(JournalLost):  # then only the terminal shows it
            self.journal.note(
                "end",
                why=why,
                state=state.name,
                fault=fault.name,
                link=link.counters.to_json(),
                stats=stats,
            )

    def _phase(self, name: str) -> None:
        self.phase = name
        self.journal.note("phase", phase=name)
        if self.feed is not None:
            self.feed.phase(name)

    def _noise_floor(self, period_us: int) -> NoiseFloor | None:
        if not self.plan.is_realtime:
            return None
        is_rigs_loop = self.plan.virtual and self.config.mode != "pil"
        return NoiseFloor(period_us, is_rigs_loop, self.config.fifo)

    def _drive(self, session: Session, plant: Plant | None) -> Drive:
        drive = make_drive(
            self.plan, session, self.guard, self.journal, self.commander, plant, self.presence
        )
        return drive if self.feed is None else ShownDrive(drive, self.feed, session.link)

    def _angle_rad(self, sample: Sample) -> float:
        return sample.angle_rad(self.plan.rig.pole_rad_per_count)


@contextmanager
def _board(plan: Plan, journal: JournalWriter) -> Iterator[tuple[OpenPort, Plant | None]]:
    """Open the port for the link, and make the plant of pil mode."""
    plant = plan.plant.make() if plan.config.mode == "pil" else None
    with plan.port_kind.open(plan.port_request()) as port:
        found = {**port.notes} if plan.is_lockstep else {"address": port.address, **port.notes}
        journal.note("port", None, **found)
        yield port, plant


def _abandon(ending: UserError | Interrupted | None) -> None:
    """Raise the reason of a trial in which nothing was driven; it has no result."""
    if isinstance(ending, Interrupted):
        say(f"trial ended by {ending} before the motor was armed")
        raise SystemExit(ending.exit_code)
    if ending is not None:
        raise ending
