"""Play a script to the firmware and compare its behaviour with what the board reported.

The firmware wants raw counts, and the journal has counts from home. Where zero was makes no
difference to anything that is compared, so it is put where the replayed firmware finds it. Before
the first HOME the board had a life that the journal does not know: nothing is compared until then,
and the policy's output not before home is found, when its history starts anew. Of a tick whose
frame was lost the counts are a guess: a history is right again when that tick has left it, a
recurrent policy's state not before its next reset after that.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from sparsectl.hil.replay.engine import CURRENT_UNKNOWN, Engine
from sparsectl.hil.replay.script import Action, Heard, Loss, Outcome, Request, Sampling
from sparsectl.protocol.wire import Fault, Frame, Mode, State

COMPARED = ("state", "fault", "duty", "policy_output")
NEVER = 2**63
CLOUDED_TICKS = 12
"""How long the effect of what the board did or did not receive may last: longer than its time-out
for the host."""


@dataclass(frozen=True)
class Difference:
    """The first difference between replay and journal."""

    tick: int
    field: str
    journal: float | str
    replay: float | str

    def __str__(self) -> str:
        return (
            f"tick {self.tick}: {self.field} is {self.journal} in the journal, "
            f"{self.replay} in the replay"
        )


class Player:
    """A replay."""

    def __init__(self, engine: Engine, frames: int, is_recurrent: bool = False) -> None:
        """Take the firmware, the number of frames in its policy's history, and whether the policy
        keeps a state."""
        self._engine = engine
        self._frames, self._is_recurrent = frames, is_recurrent
        self._clouded_ticks = max(CLOUDED_TICKS, frames + 2)
        self.compared: set[int] = set()
        """Ticks that agree in everything that is known about them."""
        self.lost = 0
        """Ticks whose frames were lost; they are replayed with interpolated counts."""
        self.outside = 0
        """Ticks before the first HOME."""
        self.losses = 0
        """Places where the line lost frames of the board."""
        self._since_loss = NEVER
        self._homing_is_clouded = False
        self._homing = False
        self._output_from = NEVER
        self._history_from = NEVER
        self._zero, self._raw = (0, 0), (0, 0)
        self._state = int(State.SAFE)
        self._ours: dict[tuple[str, int], Frame] = {}
        self._unmatched: Frame | None = None

    def play(self, action: Action) -> Difference | None:
        """Play one action; return the first difference that it caused."""
        match action:
            case Sampling():
                self._sample(action)
                return self._overdue()
            case Request():
                self._obey(action.frame)
            case Heard():
                self._keep(self._engine.hear("TIMESYNC", host_time_ns=0))
            case Outcome():
                return self._compare(action.frame)
            case Loss():
                self.losses += 1
                self._since_loss = 0
                self._homing_is_clouded |= self._state in (State.BOOT, State.SAFE, State.HOMING)
        return None

    @property
    def is_clouded(self) -> bool:
        """Return whether the line lost frames a few ticks ago, or during homing: what the board
        received and measured then is a guess, and a difference may come from that."""
        return self._since_loss <= self._clouded_ticks or self._homing_is_clouded

    def _sample(self, at: Sampling) -> None:
        self._since_loss += 1
        found_home = at.state == State.HOMED and self._state == State.HOMING
        if not found_home and not (at.lost and at.state == State.HOMING):
            self._raw = (at.base_count + self._zero[0], at.pole_count + self._zero[1])
        # the current is not in the journal: that it was too large is the board's word
        over = at.fault == Fault.OVER_CURRENT
        current_ma = 2**31 - 1 if over else CURRENT_UNKNOWN
        lost_edges = int(at.fault == Fault.ENCODER_LOST)  # likewise
        at_end = int(at.fault == Fault.LIMIT_SWITCH)
        sensors = (*self._raw, current_ma, lost_edges, at_end)
        for frame in self._engine.tick(at.periods, at.time_us, *sensors):
            self._keep([frame])
            if frame.name in ("TICK", "OBSERVATION") and frame["tick"] == at.tick:
                counts = frame["base_count"], frame["pole_count"]
                self._zero = (self._raw[0] - counts[0], self._raw[1] - counts[1])
        if at.lost:
            self.lost += 1
            self._lose_history(at.tick + self._frames + 2)
        elif at.periods > 1:
            self._find_state(at.tick)
        self._note_state(at.tick, at.state)

    def _lose_history(self, until: int) -> None:
        self._history_from = max(self._history_from, until)
        self._output_from = NEVER if self._is_recurrent else self._history_from

    def _find_state(self, tick: int) -> None:
        """Find whether a recurrent policy resets its state before this tick."""
        if self._output_from == NEVER and self._history_from <= tick:
            self._output_from = tick

    def _note_state(self, tick: int, state: int) -> None:
        if state == State.HOMED and self._state == State.HOMING:
            self._history_from = self._output_from = tick
        elif state == State.ACTIVE != self._state:
            self._find_state(tick)
        self._state = state

    def _obey(self, frame: Frame) -> None:
        values: dict[str, Any] = dict(frame.values)
        if frame.name == "HOME":
            self._homing = True
        elif frame.name == "ARM":
            values["nonce"] = self._hello()["arm_nonce"]
        elif frame.name == "CONFIG":
            # that the board took it is known; what it was built with, this version may not be
            values["rig_digest"] = self._hello()["rig_digest"]
        self._keep(self._engine.hear(frame.name, **values))

    def _hello(self) -> Frame:
        return next(frame for frame in self._engine.hear("HELLO") if frame.name == "HELLO")

    def _keep(self, frames: list[Frame]) -> None:
        for frame in frames:
            if frame.name in ("TICK", "PLANT_ACT", "OBSERVATION"):
                self._ours[frame.name, frame["tick"]] = frame

    def _compare(self, theirs: Frame) -> Difference | None:
        tick = theirs["tick"]
        if theirs.name == "PLANT_ACT":
            self._note_state(tick, theirs["state"])
        ours = self._ours.pop((theirs.name, tick), None)
        if not self._homing:
            self.outside += theirs.name != "OBSERVATION"
            return None
        if ours is None:  # of a tick whose COMMAND did not come, TICK tells before the next
            self._unmatched = theirs
            return None
        for name in self._known(theirs):
            if _bits(theirs[name]) != _bits(ours[name]):
                return Difference(tick, name, _plain(name, theirs), _plain(name, ours))
        self.compared.add(tick)
        if theirs["state"] == State.HOMED:
            self._homing_is_clouded = False
        return None

    def _overdue(self) -> Difference | None:
        """Report what should have been sent by now."""
        theirs, self._unmatched = self._unmatched, None
        if theirs is None:
            return None
        if (theirs.name, theirs["tick"]) in self._ours:
            return self._compare(theirs)
        return Difference(theirs["tick"], theirs.name, "there", "missing")

    def _known(self, theirs: Frame) -> list[str]:
        """Return the fields to compare, without those that depend on the policy's history if that
        is lost."""
        follows = (
            ("policy_output", "duty") if theirs["state"] == State.ACTIVE else ("policy_output",)
        )
        unknown = () if theirs["tick"] >= self._output_from else follows
        return [name for name in COMPARED if name in theirs.values and name not in unknown]


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)


def _plain(name: str, frame: Frame) -> float | str:
    kinds: dict[str, Any] = {"state": State, "fault": Fault, "mode": Mode}
    return kinds[name](frame[name]).name if name in kinds else float(frame[name])
