"""The trials of a campaign on disk, so that a killed campaign finds what it has done."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, write_json
from sparsectl.common.typed_json import from_json
from sparsectl.hil.analysis.kicks import read_kicks
from sparsectl.hil.analysis.results import active_part
from sparsectl.hil.analysis.trial_result import TrialResult
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.hil.campaign.score import SCORE, upright_share
from sparsectl.hil.journal.journal import read_journal
from sparsectl.hil.journal.trace import read_trace
from sparsectl.hil.ports import kind_of

CAMPAIGN = "campaign.json"
SUMMARY = "summary.json"
OUTCOME = "outcome.json"
SERIAL = "a serial port"
"""What campaign.json says of a serial device in place of its name."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one trial."""

    label: str
    """A or B."""
    seed: int
    score: float
    """See `upright_share`."""
    balanced: bool
    swing_up_seconds: float | None
    ended: str
    kicks_missed: int = 0
    """Number of planned kicks that did not take place: the pole was not up, or the trial ended
    before."""


@dataclass(frozen=True)
class Slot:
    """A planned trial."""

    label: str
    policy: Path
    seed: int
    folder: Path


def slots(command: TrialCommand, folder: Path) -> list[list[Slot]]:
    """Return the trials by seed; the order of the two policies is drawn, so that drift favours
    neither."""
    policies = {"A": command.policy}
    if command.compare:
        policies = dict(zip("AB", command.compare, strict=True))
    rounds = []
    for seed in range(command.seed, command.seed + command.repeat):
        of_seed = [
            Slot(label, policy, seed, folder / "trials" / f"{seed:05d}-{label}")
            for label, policy in policies.items()
        ]
        random.Random(seed).shuffle(of_seed)
        rounds.append(of_seed)
    return rounds


def claim(command: TrialCommand, folder: Path) -> None:
    """Make the campaign's folder, or resume the one that exists.

    Raises:
        UserError: another campaign is there, or the folder cannot be written.
    """
    settings = _settings(command)
    path = folder / CAMPAIGN
    if path.exists():
        there = read_json(path)
        if "port" in there:
            there["port"] = _behind(str(there["port"]))
        for name, value in settings.items():
            if there.get(name) != value:
                raise UserError(
                    f"{folder} holds a campaign with {name} {there.get(name)}, now {value}; "
                    "name another folder with --out, or give the same settings to resume"
                )
        return
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds something other than a campaign; name another with --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, settings)


def recorded(slot: Slot) -> Outcome | None:
    """Return the outcome of a trial that is already finished; None if it has to be run."""
    path = slot.folder / OUTCOME
    if not path.exists():
        return None
    outcome: Outcome = from_json(
        Outcome, read_json(path), str(path), "delete this trial's folder and resume the campaign"
    )
    return outcome


def record(slot: Slot, seconds: float) -> Outcome:
    """Score the trial that has just been run, and store the outcome beside it."""
    summary = slot.folder / SUMMARY
    trial: TrialResult = from_json(
        TrialResult, read_json(summary).get("trial"), f"{summary}: trial", "run the campaign again"
    )
    journal = read_journal(slot.folder / "journal.bin")
    trace = read_trace(journal)
    missed_after_s = read_kicks(journal, active_part(trace)).missed_after_s
    outcome = Outcome(
        label=slot.label,
        seed=slot.seed,
        score=upright_share(trace, seconds, missed_after_s),
        balanced=trial.balanced,
        swing_up_seconds=trial.swing_up_seconds,
        ended=trial.ended,
        kicks_missed=len(missed_after_s),
    )
    write_json(slot.folder / OUTCOME, asdict(outcome))
    return outcome


def _settings(command: TrialCommand) -> dict[str, Any]:
    """Return the settings that must be equal for two runs to belong to one campaign; its length is
    not among them."""
    free = {"out", "repeat", "report", "firmware", "live", "live_port", "live_loss", "margin"}
    settings = {key: value for key, value in asdict(command).items() if key not in free}
    if command.compare:
        del settings["policy"]
    settings["port"] = _behind(command.port)
    return {"score": SCORE} | {key: _plain(value) for key, value in settings.items()}


def _behind(port: str) -> str:
    """Return what identifies the rig in a port's name: a serial device that was plugged in again
    may have another name."""
    kind = kind_of(port)
    if not kind.has_rig or "://" in port:
        return port
    drive, colon, device = port.partition(":") if kind.builds else ("", "", port)
    return f"{drive}{colon}{device if device.isdigit() else SERIAL}"


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
