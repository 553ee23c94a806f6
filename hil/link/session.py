"""The dialogue with a board around a trial: identify, check, prove, home, arm, disarm."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sparsectl.common.errors import EXIT_FAULT, UserError
from sparsectl.common.float32 import float32
from sparsectl.firmware_host.config_header import (
    LINK_TIMEOUT_TICKS,
    firmware_version,
    reported_by_rig,
    rig_digest,
)
from sparsectl.hil.journal.journal import JournalWriter
from sparsectl.hil.link.link import ATTEMPTS, Link, LinkLost, Refused
from sparsectl.hil.timing.clock_sync import ClockRelation, Exchange, fit_clock
from sparsectl.plants.rig_constants import RigConstants
from sparsectl.protocol.modem_lines import BOOT_LOADER_S
from sparsectl.protocol.wire import PROTOCOL_HASH, Fault, Frame, Mode, State

SYNC_EXCHANGES = 16
STOPPING_S = 4.0
"""How long a board that an earlier host left running may take to come to rest."""
BOOT_S = 3.0
"""How long a board may take to answer its first HELLO."""
AGAIN_S = 2.0
"""How long a silent board is asked whether it is back, since its boot loader may be running."""


@dataclass(frozen=True)
class Expectation:
    """The facts that the host expects of the board; it does not arm a board that differs."""

    digest: str
    """Digest of the policy, 64 hex digits."""
    observation_size: int
    action_size: int
    frames: int
    rig_name: str
    rig: RigConstants
    link_timeout_ticks: int = LINK_TIMEOUT_TICKS
    """Control periods without a message from the host after which the board ends a run."""
    policy_on_host: bool = False
    """Host mode: the board may hold any policy, of any size."""

    @property
    def rig_digest(self) -> bytes:
        """Digest of all constants of rig and safety that a firmware of this rig is built with."""
        return rig_digest(self.rig)

    def config(self) -> dict[str, Any]:
        """Return the fields of CONFIG."""
        return {
            "policy_digest": bytes.fromhex(self.digest),
            "period_us": self.rig.period_us,
            "base_unit_per_count": self.rig.base_unit_per_count,
            "pole_rad_per_count": self.rig.pole_rad_per_count,
            "observation_size": self.observation_size,
            "action_size": self.action_size,
            "frames": self.frames,
            "rig_digest": self.rig_digest,
            "link_timeout_ticks": self.link_timeout_ticks,
        }

    def check(self, hello: Mapping[str, Any]) -> None:
        """Compare with the board's HELLO.

        Raises:
            UserError: the first difference, with both values and the mend.
        """
        if hello["protocol_hash"] != PROTOCOL_HASH:
            raise UserError(
                f"the board speaks another protocol ({hello['protocol_hash']:08x}, the host "
                f"{PROTOCOL_HASH:08x}); build and flash it again"
            )
        if not self.policy_on_host and hello["policy_digest"].hex() != self.digest:
            raise UserError(
                f"the board's policy has digest {hello['policy_digest'].hex()[:12]}, policy.onnx "
                f"{self.digest[:12]}; export, build and flash it again"
            )
        for name, expected in self._fixed().items():
            if hello[name] != expected and hello[name] != float32(expected):
                raise UserError(
                    f"{name} is {_shown(hello[name], expected)} in rig "
                    f"{self.rig_name} and its policy; build and flash for this rig, or name its "
                    "own with --rig"
                )

    def other_constant(self, hello: Mapping[str, Any], reported: Mapping[str, Any]) -> UserError:
        """Return the error that the board was built with other constants than HELLO shows: it names
        the first difference in RIG."""
        for name, expected in reported_by_rig(self.rig).items():
            if reported[name] != expected:
                return UserError(
                    f"{name} is {reported[name]} on the board, {expected} in rig {self.rig_name}; "
                    "build and flash for this rig, or name its own with --rig"
                )
        here = firmware_version()
        if hello["firmware_version"] != here:
            return UserError(
                f"the board's safety checks are of version {hello['firmware_version']}, here is "
                f"{here}; build and flash it again"
            )
        return UserError(
            f"the board was built with other masses, lengths or duties than rig {self.rig_name} "
            f"has (digest {hello['rig_digest'].hex()}, here {self.rig_digest.hex()}), so its "
            "checks would be another rig's; build and flash it again"
        )

    def _fixed(self) -> dict[str, Any]:
        """Return the expected fields that are built into the board, other than the policy."""
        fixed = {name: getattr(self.rig, name) for name in _BUILT_IN}
        if not self.policy_on_host:
            fixed |= {name: getattr(self, name) for name in _SIZES}
        return fixed


_SIZES = ("observation_size", "action_size", "frames")
_BUILT_IN = (
    *("period_us", "base_unit_per_count", "pole_rad_per_count"),
    *("base_limit", "max_duty", "base_rate_limit", "pole_rate_limit"),
)


class Session:
    """Requests to one board; those that yield information are noted in the journal."""

    def __init__(self, link: Link, journal: JournalWriter) -> None:
        self.link = link
        self.journal = journal
        self.has_armed = False
        """True once the board was asked to arm: its motor may have run."""
        self._mode: Mode | None = None
        self._has_left_safe = False

    def hello(self) -> dict[str, Any]:
        """Ask the board to identify itself; wait for a board that is still booting.

        Raises:
            LinkLost: nothing that speaks this protocol answers.
        """
        attempts = max(1, round(BOOT_S / 0.25))
        return self.link.request("HELLO", timeout_s=0.25, attempts=attempts).frame.values

    def greet(self, expectation: Expectation) -> dict[str, Any]:
        """Send HELLO, check the answer and note it in the journal.

        Raises:
            UserError: the board differs from what the host expects.
        """
        hello = self._first_hello()
        self.journal.note("hello", **_plain(hello))
        expectation.check(hello)
        self.link.begin()
        if hello["rig_digest"] != expectation.rig_digest:
            raise expectation.other_constant(hello, self.link.request("RIG").frame.values)
        return hello

    def _first_hello(self) -> dict[str, Any]:
        """Ask once immediately; if a boot loader is running, do not ask again before it has
        ended."""
        if self.link.may_boot:
            with suppress(LinkLost):
                return self.link.request("HELLO", timeout_s=0.25, attempts=1).frame.values
            time.sleep(BOOT_LOADER_S)
        return self.hello()

    def configure(self, expectation: Expectation, mode: Mode) -> None:
        """End any earlier run, choose the mode, and let the board check CONFIG bit for bit.

        Ticks from before are discarded: they belong to another run.

        Raises:
            Refused: the board found a difference.
        """
        self.link.request("DISARM")
        patience_ns = time.monotonic_ns() + round(STOPPING_S * 1e9)
        while self.hello()["state"] == State.STOPPING and time.monotonic_ns() < patience_ns:
            time.sleep(0.05)
        self.link.request("MODE", mode=int(mode))
        self.link.request("CONFIG", forgets=True, **expectation.config())
        self._mode, self._has_left_safe = mode, False

    def replay_golden_vectors(self, count: int) -> list[dict[str, Any]]:
        """Let the board compute its golden vectors; return each one's error and time.

        Raises:
            UserError: an action differs from the exporter's in at least one bit.
        """
        replies = [self._replay(index) for index in range(count)]
        self.journal.note("bench", inference_ns=[reply["inference_ns"] for reply in replies])
        return replies

    def synchronise(self) -> ClockRelation:
        """Relate the clocks by a burst of exchanges and note the relation in the journal."""
        exchanges = [self.exchange() for _ in range(SYNC_EXCHANGES)]
        relation = fit_clock(exchanges)
        self.journal.note("clock", **relation.to_json())
        return relation

    def exchange(self) -> Exchange:
        """Make one TIMESYNC round trip."""
        sent_ns = time.monotonic_ns()
        reply = self.link.request(
            "TIMESYNC",
            host_time_ns=sent_ns,
            attempts=1,
            timeout_s=1.0,
            matches=lambda frame: frame["host_time_ns"] == sent_ns,
        )
        return make_exchange(reply.frame.values, reply.host_ns)

    def home(self) -> None:
        """Start homing; `HOMED` in any later tick refers to the new zero, not to an earlier
        trial's.

        Raises:
            LinkLost: the board does not answer.
        """
        for left in reversed(range(ATTEMPTS)):
            with suppress(LinkLost):
                self.link.request("HOME", attempts=1, forgets=True)
                self._has_left_safe = True
                return
            if self.hello()["state"] == State.HOMING:
                self._has_left_safe = True  # only the answer was lost
                return
            if left == 0:
                raise LinkLost(f"the board on {self.link.port} does not answer HOME; check cable")

    def arm(self) -> None:
        """Arm with the board's present nonce; the next tick is ACTIVE."""
        nonce = self.hello()["arm_nonce"]
        self.has_armed = True
        self._once("ARM", {State.ARMED, State.ACTIVE}, nonce=nonce)
        self._has_left_safe = True

    def explain(self, error: UserError) -> UserError:
        """Return `error` or its cause: a board that restarted during a run refuses what belongs to
        the run, or stops sending. Call this after the stop was sent.

        The board has restarted if it forgot its mode; if it is in SAFE, or was when it stopped,
        since nothing else leads there from a run; or if it reports that its watchdog fired, as
        `configure` clears an earlier report.
        """
        if self._mode is None or not isinstance(error, LinkLost | Refused):
            return error
        try:
            hello = self.link.request("HELLO", timeout_s=0.25, attempts=round(AGAIN_S / 0.25))
            board = hello.frame.values
            is_new = board["mode"] != self._mode or self._is_in_safe(board)
        except UserError:  # the port is gone, or the journal
            return error
        if board["fault"] == Fault.WATCHDOG:
            watchdog = UserError(
                "the board stopped the trial: WATCHDOG (its firmware hung, or its timer stopped, "
                "and it has restarted; reset it)"
            )
            watchdog.exit_code = EXIT_FAULT
            return watchdog
        if not is_new:
            return error
        return LinkLost(
            f"the board on {self.link.port} restarted in the middle of the run; look at "
            "its supply, "
            "its reset line and its cable, then retry"
        )

    def _is_in_safe(self, hello: Mapping[str, Any]) -> bool:
        """Return whether the board is in SAFE, or was before a stop that it has reported."""
        if not self._has_left_safe:
            return False
        found = [hello["state"]]
        while (received := self.link.next_frame(0)) is not None:
            frame = received.frame
            if frame.name == "EVENT" and frame["fault"] == Fault.ESTOP:
                found.append(frame["previous"])
        return State.SAFE in found

    def disturb(self, duty: float, ticks: int, timeout_s: float) -> None:
        """Kick the rig: add `duty` to the policy's for `ticks` control ticks.

        The request is sent once, since a second one would be another kick. While the host waits for
        the answer, the board receives nothing else.

        Raises:
            Refused: the board does not drive the motor.
            LinkLost: no answer came in time; the board may have received the kick nevertheless.
        """
        self.link.request("DISTURB", attempts=1, timeout_s=timeout_s, duty=duty, ticks=ticks)

    def disarm(self) -> None:
        """Turn the motor off."""
        self.link.request("DISARM")
        self._has_left_safe = False  # from FAULT it leads back there

    def stats(self) -> dict[str, Any]:
        """Return the board's counters."""
        return self.link.request("STATS").frame.values

    def _replay(self, index: int) -> dict[str, Any]:
        def is_this(frame: Frame) -> bool:
            return bool(frame["index"] == index)

        reply = self.link.request("BENCH", index=index, timeout_s=2.0, matches=is_this).frame.values
        if reply["max_error"] != 0.0:
            raise UserError(
                f"golden vector {index} differs on the board by {reply['max_error']:.3g}; "
                "export, build and flash again, or report this compiler"
            )
        return reply

    def _once(self, name: str, reached: set[State], **values: Any) -> None:
        """Send a request that must not run twice: if the answer is lost, check whether it ran."""
        try:
            self.link.request(name, attempts=1, **values)
        except Refused:
            raise
        except LinkLost:
            if self.hello()["state"] not in reached:
                raise


def make_exchange(reply: Mapping[str, Any], received_ns: int) -> Exchange:
    """Return the exchange that a TIMESYNC reply completes; the device's time is the middle of its
    two."""
    device_us = (reply["receive_time_us"] + reply["transmit_time_us"]) // 2
    return Exchange(reply["host_time_ns"], device_us, received_ns)


def _plain(hello: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in hello.items()}


def _shown(on_board: Any, here: Any) -> str:
    """Return "A on the board, B" with as many digits of two floats as tell them apart."""
    texts = str(on_board), str(here)
    if isinstance(on_board, float):
        for digits in range(6, 10):
            texts = f"{on_board:.{digits}g}", f"{float(here):.{digits}g}"
            if texts[0] != texts[1]:
                break
    return f"{texts[0]} on the board, {texts[1]}"
