"""A host that steps a board through its states, with nothing else in the way, and can fail.

It speaks the wire and no more: what it proves of a board, the board does by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.policy_library import PolicyLibrary
from sparsectl.hil.drives.host_drives import Commander
from sparsectl.protocol.client import Client
from sparsectl.protocol.wire import Frame, Mode, fields_to_board

PATIENCE_S = 10.0
GREET_EVERY_S = 0.05


class BareHost(Client):
    """The client of a lockstep board, which is stepped tick by tick."""

    def __init__(self, address: str) -> None:
        """Open the port."""
        super().__init__(address)
        self._heard = True
        self.tick = 0

    def ask(self, name: str, **values: Any) -> Frame:
        """Send a request, once, and wait for its answer.

        Raises:
            UserError: none comes, or it is NACK.
        """
        answer, _ = self.exchange(name, patience_s=PATIENCE_S, attempts=1, **values)
        if answer.name == "NACK":
            raise UserError(f"the board refused {name}: reason {answer['reason']}")
        return answer

    def greet_again(self, wanted: Callable[[Frame], bool]) -> Frame:
        """Ask until a HELLO is as wanted; a board that is restarting forgets earlier requests.

        Raises:
            UserError: none comes.
        """
        for _ in range(round(PATIENCE_S / GREET_EVERY_S)):
            self.send("HELLO")
            found = self.receive_until(lambda frame: frame.name == "HELLO", GREET_EVERY_S)
            if found and wanted(found[-1]):
                return found[-1]
        raise UserError("the board does not start again")

    def step(self, alive: bool = True) -> list[Frame]:
        """Let one tick run; what the board said. A live host gives a sign of life for what it
        has heard."""
        if alive and self._heard:
            self.send("TIMESYNC", host_time_ns=0)
        self.tick += 1
        _, frames = self.exchange("STEP", patience_s=PATIENCE_S, attempts=1, until_tick=self.tick)
        self._heard = any(frame.name in ("TICK", "OBSERVATION") for frame in frames)
        return frames


Command = Mapping[str, Any]
Spoiler = Callable[[list[Command], int], Command | None]
"""Maps all commands that the policy gave, and the index of the first since the fault, to the one
that is sent instead of the last; None: none is sent."""

COMMAND_FAULTS: Final[dict[str, Spoiler]] = {
    "missing_commands": lambda commands, first: None,
    "late_commands": lambda commands, first: commands[-4],
    "repeated_command": lambda commands, first: commands[first - 1],
    "early_commands": lambda commands, first: {**commands[-1], "tick": commands[-1]["tick"] + 5},
    "immortal_command": lambda commands, first: {**commands[-1], "time_to_live": 255},
    "huge_command": lambda commands, first: {**commands[-1], "output": 1e30},
    "nan_command": lambda commands, first: {**commands[-1], "output": math.nan},
    "infinite_command": lambda commands, first: {**commands[-1], "output": math.inf},
    "runaway_command": lambda commands, first: {**commands[-1], "output": 1.0},
}


def _misplace(host: BareHost, hello: Command, nonce: int) -> None:
    host.send("MODE", mode=int(Mode.PIL))
    host.send("CONFIG", **{name: hello[name] for name in fields_to_board("CONFIG")})
    host.send("HOME")
    host.send("BENCH", index=0)
    host.send("COMMAND", tick=host.tick, output=1.0, inference_ns=0, time_to_live=2)
    host.send("ARM", nonce=nonce)


def _arm_again(host: BareHost, hello: Command, nonce: int) -> None:
    host.send("ESTOP")
    host.send("ARM", nonce=nonce)


REQUEST_FAULTS: Final[dict[str, Callable[[BareHost, Command, int], None]]] = {
    "emergency_stop": lambda host, hello, nonce: _send(host, "ESTOP"),
    "disarmed": lambda host, hello, nonce: _send(host, "DISARM"),
    "misplaced_requests": _misplace,
    "armed_by_an_old_frame": _arm_again,
}
"""Sends what the host sends when the fault's time has come, given the board's first HELLO and the
nonce that it was armed with."""


def _send(host: BareHost, name: str) -> None:
    host.send(name)


class PolicyHost:
    """Answers observations by commands, and spoils them once a fault has come."""

    def __init__(self, host: BareHost, library: PolicyLibrary) -> None:
        self._host, self._commander = host, Commander(library)
        self._commands: list[Command] = []
        self._first = 0
        self._spoiler: Spoiler | None = None

    def spoil(self, spoiler: Spoiler) -> None:
        """Send what the fault makes of the commands from now on."""
        self._spoiler, self._first = spoiler, len(self._commands)

    def answer(self, frames: list[Frame]) -> None:
        """Send what the policy, or the fault, has to say to the observations among `frames`."""
        for frame in frames:
            if frame.name != "OBSERVATION":
                continue
            self._commands.append(self._commander.command(frame))
            command: Command | None = self._commands[-1]
            if self._spoiler is not None:
                command = self._spoiler(self._commands, self._first)
            if command is not None:
                self._host.send("COMMAND", **command)
