"""Trials one after another on one powered host board, whatever happens to them on the way.

Firmware and plant stay on their line while hosts come and go, are killed, interrupted or held up,
the line is noisy or silent, and the board loses its power and restarts. The criterion is the
command at the motor: it is off within three control ticks of the last frame that reached the board.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from sparsectl.common.errors import EXIT_FAULT, EXIT_LINK_LOST, EXIT_STOPPED, UserError
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.faults.line import open_pty
from sparsectl.hil.faults.soak_events import (
    EVENTS,
    PAGE_EVENTS,
    Event,
    Person,
    be_at_the_page,
    let_happen,
)
from sparsectl.hil.journal.journal import NAME, read_journal
from sparsectl.hil.simulation.plant_server import PlantStart, serve
from sparsectl.protocol.wire import Decoder, Fault, Frame

OFF_TICKS: Final = 3
"""Control ticks that the board may run, and drive, after the last frame that it heard."""
PATIENCE_S: Final = 120.0
STACK_AFTER_S: Final = 0.75 * PATIENCE_S
"""A trial that has not ended by then writes down what its threads are doing."""
MAY_END: Final[dict[Event, tuple[int, ...]]] = {
    "kill_host": (-signal.SIGKILL,),
    "interrupt_host": (EXIT_STOPPED,),
    "kill_board": (EXIT_LINK_LOST,),
    "kill_page": (EXIT_LINK_LOST,),
    "close_page": (EXIT_LINK_LOST,),
}
"""Exit codes that an event brings about, besides those of a trial that is done or has a fault."""
MARKS: Final[dict[Event, int]] = {"kill_host": -signal.SIGKILL, "interrupt_host": EXIT_STOPPED}
"""Shows whether an event reached its trial."""
ENOUGH: Final = 4
"""Number of times an event must come, so that at least one trial cannot have ended before it."""
SETTLE_S: Final = 0.3
"""More than a board without its host needs to turn the motor off."""


@dataclass
class Drive:
    """A stretch from the motor's first duty to its last."""

    ticks_unheard: int = 0
    """The most control ticks in a row that were driven after the last frame had come."""
    ended: bool = False


class Board:
    """The host board's firmware, its plant, and the line that hosts find at `address`."""

    def __init__(self, elf: Path, plant: PlantStart) -> None:
        """Start all of it."""
        self._elf, self._plant = elf, plant
        self._line, self.address = open_pty()
        os.set_blocking(self._line, False)  # what nobody reads is gone, as on a real line
        self._held = os.open(self.address, os.O_RDWR | os.O_NOCTTY)  # the port outlives its hosts
        self.drives: list[Drive] = []
        self.silent_until_s = 0.0
        self._unheard = 0
        self._decoder = Decoder(to_host=False)
        self._steadied = threading.Event()
        self._steadied.set()
        self._start()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        os.close(self._held)
        os.close(self._line)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            command = [str(self._elf), "--clock", "realtime", "--plant-fd", str(theirs.fileno())]
            self.process = subprocess.Popen(
                command, pass_fds=(theirs.fileno(),), stdout=subprocess.PIPE, text=True
            )
        self._server = threading.Thread(target=self._serve, args=(ours,), daemon=True)
        self._server.start()
        assert self.process.stdout is not None
        path = self.process.stdout.readline().split()[1]
        self._port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._fallen = threading.Event()
        self._pump = threading.Thread(target=self._pass_on, daemon=True)
        self._pump.start()

    def _stop(self) -> None:
        """Stop the pump, then the process: a descriptor that the pump still held would soon be
        another file's."""
        self._fallen.set()
        self._pump.join()
        os.close(self._port)
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._server.join()

    def kill(self) -> None:
        """Kill the board's process, and its motor with it, and start it again."""
        self._stop()
        self._note(0, 0.0)
        self._start()

    @property
    def has_ended(self) -> bool:
        """Return whether its firmware has ended by itself, as no board's ever should."""
        return self.process.poll() is not None

    def steady(self) -> None:
        """Hold base and pole still in the middle, as a person does before any trial."""
        time.sleep(SETTLE_S)
        self._steadied.clear()
        self._steadied.wait(SETTLE_S)

    def disturb(self, noise: bytes) -> None:
        """Send bytes that nobody sent to the board and to the host."""
        for descriptor in (self._port, self._line):
            _write(descriptor, noise)

    def _serve(self, channel: socket.socket) -> None:
        with channel:
            self._truth = self._plant.make()
            self._rest = self._truth.data.qpos.copy()
            serve(self._truth, channel, self._note)

    def _note(self, time_ns: int, duty: float) -> None:
        """Record the motor's command; called twice a tick, at the encoders and at the motor."""
        if not self._steadied.is_set():
            self._truth.data.qpos[:] = self._rest
            self._truth.data.qvel[:] = 0.0
            self._steadied.set()
        last = self.drives[-1] if self.drives and not self.drives[-1].ended else None
        if duty == 0.0:
            if last is not None:
                last.ended = True
            return
        if last is None:
            last = Drive()
            self.drives.append(last)
        self._unheard += 1
        # the tick that turns it off only samples; a tick that is late may come before the frame
        last.ticks_unheard = max(last.ticks_unheard, self._unheard // 2)

    def _pass_on(self) -> None:
        while not self._fallen.is_set():
            if time.monotonic() < self.silent_until_s:
                time.sleep(0.001)
                continue
            for descriptor in select.select([self._port, self._line], [], [], 0.02)[0]:
                data = _read(descriptor)
                if not data:
                    time.sleep(0.001)
                elif descriptor == self._port:
                    _write(self._line, data)
                else:
                    _write(self._port, data)
                    self._hear(self._decoder.feed(data))

    def _hear(self, frames: list[Frame]) -> None:
        if frames:
            self._unheard = 0


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # EIO: the firmware has ended
        return b""


def _write(descriptor: int, data: bytes) -> None:
    try:
        os.write(descriptor, data)
    except OSError:
        pass  # nobody reads: as on a real line, the bytes are gone


@dataclass(frozen=True)
class Ended:
    """The end of one trial."""

    event: Event
    code: int
    """Exit code of its process: 0 done, 130 interrupted, -9 killed; else refused or stopped, with a
    message."""
    armed: bool
    """True if the trial was armed, after which it has left a journal."""
    whole: bool
    """True if the whole journal can be read."""
    fault: str = ""
    """Fault by which the board ended the trial, and whether this machine did not run it."""


@dataclass
class Soak:
    """The outcomes of all trials."""

    trials: list[Ended] = field(default_factory=list)
    drives: int = 0
    most_ticks_unheard: int = 0
    never_ended: int = 0
    boards_ended: int = 0
    """Times that the firmware ended by itself."""
    hung: list[str] = field(default_factory=list)
    """Trials that did not end by themselves."""

    @property
    def wrong(self) -> list[str]:
        """List what should not have happened; empty if nothing did."""
        found = [
            f"trial {index}: {ended}"
            for index, ended in enumerate(self.trials)
            if (ended.armed and not ended.whole) or not _may_end_so(ended)
        ]
        found += self.hung
        for event, code in MARKS.items():
            codes = [ended.code for ended in self.trials if ended.event == event]
            if len(codes) >= ENOUGH and code not in codes:
                found.append(f"{event} came {len(codes)} times and reached no trial")
        if self.most_ticks_unheard > OFF_TICKS:
            found.append(f"the motor ran {self.most_ticks_unheard} ticks without a host")
        if self.never_ended:
            found.append("the motor ran on")
        if self.boards_ended:
            found.append(f"the firmware ended by itself {self.boards_ended} times")
        return found

    def to_json(self) -> dict[str, object]:
        """Return the counts, for the results."""
        events = Counter(f"{ended.event}: {_word(ended)}" for ended in self.trials)
        return {
            "trials": len(self.trials),
            "ended": dict(sorted(events.items())),
            "drives": self.drives,
            "boards_ended": self.boards_ended,
            "most_ticks_unheard": self.most_ticks_unheard,
            "wrong": self.wrong,
            "list": [asdict(ended) for ended in self.trials],
        }


def _may_end_so(ended: Ended) -> bool:
    """Return whether the exit code is one that the event can bring about.

    Any trial may be done, or ended in a fault, before the event or in spite of it; in real time a
    machine that is busy elsewhere ends some of them.
    """
    if ended.code == EXIT_STOPPED and ended.event in PAGE_EVENTS:
        return not ended.armed
    return ended.code in (0, EXIT_FAULT, *MAY_END.get(ended.event, ()))


def _word(ended: Ended) -> str:
    words = {0: "done", 3: "fault", 4: "link lost", 130: "interrupted", -signal.SIGKILL: "killed"}
    word = words.get(ended.code, f"code {ended.code}") + (f" {ended.fault}" if ended.fault else "")
    return word + ("" if ended.armed else ", never armed")


def soak(
    board: Board,
    config: TrialConfig,
    folder: Path,
    trials: int,
    seed: int,
    person: Person | None = None,
) -> Soak:
    """Run so many trials, one after another; something may happen to each.

    Args:
        board: powered all the time.
        config: of every trial; its port and folder are set here.
        folder: for the trials' folders.
        trials: how many.
        seed: of what happens and when.
        person: who opens the live page of some of them; without one, no trial has a page.
    """
    events = EVENTS if person is None else EVENTS + PAGE_EVENTS
    dice, result = random.Random(seed), Soak()
    spawn = multiprocessing.get_context("forkserver")
    spawn.set_forkserver_preload(["sparsectl.hil.trial.trial"])
    for index in range(trials):
        out = folder / f"{index:03d}"
        event = dice.choice(events)
        has_page = event in PAGE_EVENTS
        asked = replace(config, port=board.address, out=out, live=has_page, live_port=0)
        process = spawn.Process(target=_trial, args=(asked,))
        process.start()
        if has_page and person is not None:
            journal = out / NAME
            be_at_the_page(event, dice, person, process, _words_of(out), journal.is_file)
        else:
            let_happen(event, dice, board, process)
        process.join(PATIENCE_S)
        if process.exitcode is None:
            result.hung.append(_still_running(index, event, out))
            process.kill()
            process.join()
        if board.has_ended:
            result.boards_ended += 1
            board.kill()
        board.steady()
        assert process.exitcode is not None
        armed = (out / NAME).is_file()
        whole = armed and _is_whole(out / NAME)
        fault = _fault(out / NAME) if whole and process.exitcode == EXIT_FAULT else ""
        result.trials.append(Ended(event, process.exitcode, armed, whole, fault))
    result.drives = len(board.drives)
    result.most_ticks_unheard = max((drive.ticks_unheard for drive in board.drives), default=0)
    result.never_ended = sum(not drive.ended for drive in board.drives)
    return result


def _words_of(out: Path) -> Path:
    """Return the file that the trial of that folder writes its messages to."""
    return out.with_suffix(".txt")


def _still_running(index: int, event: Event, out: Path) -> str:
    """Describe a trial that does not end: whether its motor was armed, its last message, and the
    innermost calls of its main thread, whose stack stands last in what it wrote."""
    armed = "armed" if (out / NAME).is_file() else "not armed"
    said = _words_of(out).read_text() if _words_of(out).is_file() else ""
    words, _, stacks = said.partition("Timeout (")
    last = (words.splitlines() or ["nothing"])[-1]
    calls = re.findall(r'"[^"]*?([^/"]+)", line (\d+) in (\w+)', stacks.rpartition("\n\n")[2])
    where = " < ".join(f"{name}:{line} {call}" for name, line, call in calls[:8])
    return (
        f"trial {index} ({event}, {armed}) has not ended after {PATIENCE_S:g} s; "
        f"it said: {last}; it is in: {where or 'no call that it wrote down'}"
    )


def _trial(config: TrialConfig) -> None:
    """Run a trial in a process of its own, with its messages in a file.

    A shell that starts a program in the background has it ignore SIGINT, and so do its children;
    a trial in a terminal does not.
    """
    from sparsectl.hil.trial.trial import run_trial

    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert config.out is not None
    os.dup2(os.open(_words_of(config.out), os.O_CREAT | os.O_WRONLY), 2)
    faulthandler.dump_traceback_later(STACK_AFTER_S)
    try:
        result = run_trial(config)
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 2)) from error
    except KeyboardInterrupt:  # before the trial had its guard; as the command line has it
        raise SystemExit(EXIT_STOPPED) from None
    raise SystemExit(0 if result["fault"] == "NONE" else 3)


def _is_whole(path: Path) -> bool:
    """Return whether the journal can be read to its last record; a killed host may have cut that
    one."""
    try:
        return len(read_journal(path).records) > 0
    except UserError:
        return False


def _fault(path: Path) -> str:
    """Return the fault that ended the trial of a journal, and whether its program was absent
    then."""
    journal = read_journal(path)
    found = [frame["fault"] for _, frame in journal.frames if frame.name == "EVENT"]
    name = next((Fault(number).name for number in reversed(found) if number), Fault.NONE.name)
    return f"{name}, host absent" if journal.notes("absence") else str(name)
