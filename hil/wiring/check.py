"""`sparsectl trial --check-wiring`: determine which way the encoders count, before any policy
drives.

The board drives in host mode, under all of its own checks; `hil.wiring.strokes` makes the small
movements, and `hil.wiring.diagnosis` interprets the responses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from sparsectl.common.errors import UserError
from sparsectl.common.files import write_json
from sparsectl.common.folder_lock import locked_folder
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.drives.drives import Drive, Steps, advance_until
from sparsectl.hil.drives.host_drives import Commands, HostLockstepDrive, HostStreamDrive
from sparsectl.hil.drives.safety import InterruptGuard
from sparsectl.hil.drives.settle import await_rest
from sparsectl.hil.drives.terminal import say
from sparsectl.hil.journal.header import plain_config
from sparsectl.hil.journal.journal import JournalWriter
from sparsectl.hil.link.session import Session
from sparsectl.hil.planning.plan import Plan, make_plan
from sparsectl.hil.trial.advice import advice, homing_failed
from sparsectl.hil.trial.centring import OURS
from sparsectl.hil.trial.guarded_session import guarded_session
from sparsectl.hil.trial.trial import HOMING_LIMIT_S, STOPPING_LIMIT_S
from sparsectl.hil.wiring.diagnosis import Diagnosis, Verdict, judge
from sparsectl.hil.wiring.hand import held_aside, is_counting, next_sample
from sparsectl.hil.wiring.signs import write_signs
from sparsectl.hil.wiring.strokes import LEAST_COUNTS, Strokes
from sparsectl.plants.rig import rig_path
from sparsectl.protocol.wire import Fault, Mode, State

JOURNAL: Final = "wiring.bin"
RESULT: Final = "wiring.json"
TRAVELS: Final = (0.05, 0.12, 0.25)
"""How far the base is pushed, as shares of its limit; farther only if the last push gave no
result."""
ATTEMPTS: Final = 5
LAST_DUTY_TICKS: Final = 4
"""Ticks after DISARM in which the last duty may still accelerate the base."""
PUSH_BASE: Final = "push the base back and forth a little by hand"
SWING_POLE: Final = "swing the pole a little by hand"
HOLD_TIP: Final = "hold the pole's tip aside for a second, the way the base was pushed last"


RunOn = Literal["no", "driven", "off too"]
EXPLAINED: Final = (
    *(Fault.NONE, Fault.REVERSED_BASE, Fault.REVERSED_POLE, Fault.STUCK_BASE, Fault.STUCK_POLE),
)
"""Faults that a wrong sign or a silent encoder causes; the pushes distinguish these better."""


RAN_ON: Final = (
    "the base kept moving with almost no duty: check the driver's PWM wire and its enable input, "
    "which no jumper may hold; and the base's counts in the rig file"
)
RUNS_OFF: Final = (
    "the motor drives though the board has turned it off: switch its supply off; then "
)


def _stopped(fault: Fault) -> str:
    """Explain that the board stopped a push for a reason other than a wrong sign, and what to do
    about it."""
    what = advice(fault, period_us=0, link_ticks=0)
    if fault in (Fault.BASE_TRAVEL, Fault.BASE_RATE):
        what = RAN_ON
    return f"the board stopped the base: {fault.name} ({what})"


@dataclass(frozen=True)
class Findings:
    """The result of a check."""

    motor: str
    """drives, silent or unknown."""
    base: Verdict
    pole: Verdict
    stopped: Fault = Fault.NONE
    """The fault that stopped the board, if one did."""
    run_on: RunOn = "no"
    """"no" if the base obeyed the duty; otherwise it says whether turning the motor off stopped
    it."""

    @property
    def troubles(self) -> list[str]:
        """Return what has to be repaired before any trial, and how."""
        if self.stopped not in EXPLAINED:
            return [_stopped(self.stopped)]
        if self.run_on != "no":
            return [RAN_ON if self.run_on == "driven" else RUNS_OFF + RAN_ON]
        lines = []
        if self.base == "unplugged":
            lines.append(
                "the base's encoder counts nothing, or only flickers: check its plug, its supply, "
                "both its channels and their pins, and that nothing holds the base"
            )
        if self.pole == "unplugged":
            lines.append(
                "the pole's encoder counts nothing, or only flickers: check its plug, its supply, "
                "both its channels and their pins, and that the pole swings freely"
            )
        if self.motor == "silent":
            lines.append(
                "the motor does not move the base: check its supply, the driver's enable pin, and "
                "the PWM and direction wires"
            )
        if not lines and self.motor == "unknown":
            lines.append(
                "nothing moved, or neither encoder counts: check the motor's supply and the "
                "driver's enable pin, then both encoders' plugs"
            )
        if not lines and self.base == "unknown":
            lines.append("the base did not go the same way with the motor: level the rig")
        if not lines and self.pole == "unknown":
            lines.append(
                "the pole's swing fits neither sign: see that it swings freely, and that its "
                "length_m is right"
            )
        return lines

    @property
    def words(self) -> list[str]:
        """Return the findings, one sentence each."""
        lines = []
        if self.base == "reversed" and self.pole == "reversed":
            lines.append(
                "both encoders count backwards, which is the same as a motor with its wires swapped"
            )
        elif self.base == "reversed":
            lines.append("the base's encoder counts backwards: its unit_per_count changes sign")
        elif self.pole == "reversed":
            lines.append("the pole's encoder counts backwards: its counts_per_turn changes sign")
        elif (self.base, self.pole) == ("right", "right"):
            lines.append("motor and encoders are as the rig file says")
        return lines + self.troubles


def check_wiring(config: TrialConfig) -> dict[str, Any]:
    """Push the base to and fro, interpret the movements, and write `wiring.json`, and a rig file if
    signs differ.

    Returns:
        motor, base_encoder, pole_encoder, findings (sentences), rig (path of the new file, or None)
        and journal.

    Raises:
        UserError: bad input, a board that differs, or something is unplugged, dead or unclear
            (`wiring.json` is written).
        SystemExit: a signal or the e-stop key ended it, motor off.
    """
    if config.mode == "pil":
        raise UserError("--mode is pil, which has no motor; leave it out for --check-wiring")
    plan = make_plan(replace(config, mode="host"))
    source = rig_path(config.rig or plan.graph.rig or plan.rig.name)
    out = plan.folder / f"{plan.rig.name}.toml"
    if out.exists():
        raise UserError(f"{out} already exists; name another folder with --out")
    with locked_folder(plan.folder):
        return _check(plan, source, out)


def _check(plan: Plan, source: Path, out: Path) -> dict[str, Any]:
    findings = _determined(plan)
    flips = findings.base == "reversed", findings.pole == "reversed"
    settled = not findings.troubles
    if settled and any(flips):
        write_signs(source, out, *flips)
    result = {
        "motor": findings.motor,
        "base_encoder": findings.base,
        "pole_encoder": findings.pole,
        "findings": findings.words,
        "rig": str(out) if settled and any(flips) else None,
        "journal": str(plan.folder / JOURNAL),
    }
    write_json(plan.folder / RESULT, {"wiring": result, "config": plain_config(plan.config)})
    if not settled:
        by = findings.stopped
        is_explained = by in EXPLAINED and by != Fault.NONE
        stopped = "" if not is_explained else f" (the board stopped the base: {by.name})"
        raise UserError("; ".join(findings.troubles) + stopped)
    if result["rig"]:
        say(
            f"build and flash the firmware for it: sparsectl build {plan.config.policy} "
            f"--board {plan.config.board} --rig {out}"
        )
    return result


def _determined(plan: Plan) -> Findings:
    """Open the board and determine the wiring; any trouble stops the motor."""
    with guarded_session(plan, JOURNAL, "wiring check") as opened:
        return _Check(plan, opened.session, opened.guard, opened.journal).run()


class _Check:
    """The steps of one check, in the order in which they are written."""

    def __init__(
        self, plan: Plan, session: Session, guard: InterruptGuard, journal: JournalWriter
    ) -> None:
        self.plan, self.session, self.guard, self.journal = plan, session, guard, journal
        self.period_us = plan.expectation.rig.period_us
        self.has_hand = plan.port_kind.has_rig
        """True if there may be a person beside the rig; nobody can touch a simulated one."""
        self.stopped = Fault.NONE
        self.run_on: RunOn = "no"

    def run(self) -> Findings:
        self.session.greet(self.plan.expectation)
        diagnosis = self._push(blind=True)
        if self.stopped not in EXPLAINED:
            return Findings("unknown", diagnosis.base, diagnosis.pole, self.stopped)
        if self.run_on != "no":
            return Findings("unknown", "unknown", "unknown", self.stopped, self.run_on)
        if not diagnosis.motor_drives and diagnosis.base == "unknown":
            return self._ask_for_a_hand()
        return self._settled(diagnosis)

    def _settled(self, diagnosis: Diagnosis) -> Findings:
        """Let a hand show the pole's sign, if the motor could not shake it enough."""
        pole = diagnosis.pole
        if pole == "unknown" and diagnosis.base in ("right", "reversed") and self.has_hand:
            # The last push was backwards. A hanging tip that leans there counts as one that stayed
            # behind a jerk forward: see hil.wiring.diagnosis.
            sense = self.plan.rig.firmware_constants().pole_sense
            seen = held_aside(self._watch(), self.plan.rig, HOLD_TIP)
            verdicts: dict[int, Verdict] = {0: "unplugged", sense: "right", -sense: "reversed"}
            pole = verdicts[seen]
        return Findings("drives", diagnosis.base, pole, self.stopped)

    def _ask_for_a_hand(self) -> Findings:
        """Find out by hand why nothing moved: which of motor and encoders is dead."""
        if not self.has_hand:
            return Findings("unknown", "unknown", "unknown", self.stopped)
        watch = self._watch()
        base, pole = is_counting(watch, "base", PUSH_BASE), is_counting(watch, "pole", SWING_POLE)
        if base:
            diagnosis = self._push(blind=False)
            if diagnosis.motor_drives:
                return self._settled(diagnosis)
            return Findings("silent", "unknown", "unknown" if pole else "unplugged", self.stopped)
        motor = "silent" if pole else "unknown"
        return Findings(motor, "unplugged", "unknown" if pole else "unplugged", self.stopped)

    def _push(self, blind: bool) -> Diagnosis:
        """Push the base forth and back, farther each time until the answers are clear."""
        diagnosis = Diagnosis(False, "unknown", "unknown")
        for travel in TRAVELS:
            for _ in range(ATTEMPTS):
                strokes = Strokes(self.plan.rig, travel, blind)
                self.stopped = self._run(strokes)
                if self.stopped not in OURS or self.run_on != "no":
                    break
            else:
                raise UserError(
                    f"the board stopped the base: {self.stopped.name} in each of {ATTEMPTS} "
                    "tries; see docs/safety.md for what makes this machine late"
                )
            diagnosis = judge(self.plan.rig, strokes.strokes)
            if self.run_on != "no":
                break
            unclear = "unknown" in (diagnosis.base, diagnosis.pole)
            if not unclear or not diagnosis.motor_drives or self.stopped != Fault.NONE:
                break
        return diagnosis

    def _run(self, strokes: Strokes) -> Fault:
        """Home, arm, push; the fault by which the board stopped it, or NONE."""
        session = self.session
        session.configure(self.plan.expectation, Mode.HOST)
        drive = self._drive(strokes)
        # A pole swings on for longer than homing waits.
        await_rest(drive, self.plan.config.rest_limit_s)
        session.home()
        homed = advance_until(drive, {State.HOMED, State.FAULT}, HOMING_LIMIT_S, "homing")
        if homed.state == State.FAULT:
            raise UserError(homing_failed(Fault(homed.fault)))
        session.arm()
        while not strokes.is_done:
            for sample in drive.advance():
                if sample.state == State.FAULT:
                    return Fault(sample.fault)
        session.disarm()
        if strokes.has_run_on:
            return self._let_go(drive)
        ended = advance_until(drive, {State.HOMED, State.FAULT}, STOPPING_LIMIT_S, "stopping")
        return Fault(ended.fault)

    def _let_go(self, drive: Drive) -> Fault:
        """Wait after the base ran on and the motor was switched off; report at once a base that
        still gains speed."""
        self.run_on = "driven"
        coasting, samples = 0, [next_sample(drive)]
        until_us = samples[0].time_us + STOPPING_LIMIT_S * 1e6
        while samples[-1].state == State.STOPPING and samples[-1].time_us < until_us:
            samples.append(next_sample(drive))
            step = abs(samples[-1].base_count - samples[-2].base_count)
            if len(samples) <= LAST_DUTY_TICKS:
                coasting = max(coasting, step)
            elif step > LEAST_COUNTS + 1.5 * coasting and self.run_on == "driven":
                self.run_on = "off too"
                say(RUNS_OFF + RAN_ON)
        return Fault(samples[-1].fault)

    def _watch(self) -> Drive:
        """Yield ticks with the motor off."""
        self.session.configure(self.plan.expectation, Mode.HOST)
        return self._drive(Strokes(self.plan.rig, TRAVELS[0], blind=True))

    def _drive(self, commands: Commands) -> Drive:
        link = self.session.link
        if not self.plan.is_lockstep:
            return HostStreamDrive(link, self.guard, self.period_us, commands, self.journal)
        steps = Steps(link, self.journal.now, self.session.hello()["tick"], self.period_us)
        return HostLockstepDrive(link, self.guard, steps, commands)
