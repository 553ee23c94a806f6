"""A campaign: many trials of one policy or of two, by seed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.files import write_json
from sparsectl.common.folder_lock import locked_folder
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance
from sparsectl.common.warning import warn
from sparsectl.hil.campaign.comparison import Comparison, compare, figures, table
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.hil.campaign.host_faults import is_hosts
from sparsectl.hil.campaign.journalled import Outcome, Slot, claim, record, recorded, slots
from sparsectl.hil.campaign.score import interim_analyses
from sparsectl.hil.ports import kind_of
from sparsectl.hil.trial.centring import centre
from sparsectl.hil.trial.trial import run_trial


def run_campaign(command: TrialCommand) -> dict[str, Any]:
    """Run the trials of a campaign that have not been run yet, then draw and write the result.

    Returns:
        policies (figures by label), answer, difference, pairs, seconds, picture, folder, table.

    Raises:
        UserError: what `run_trial` raises, the folder holds another campaign, or the host spoils a
            trial each time.
        SystemExit: SIGINT or SIGTERM ended it; the motor is off.
    """
    return _Campaign(command).run()


TRIES = 5
"""How often a trial is run that the host spoils."""


class _Campaign:
    """Trials by seed until all are run or the answer is clear."""

    def __init__(self, command: TrialCommand) -> None:
        self.command = command
        self.folder = command.out or Path("runs") / f"campaign-{time.strftime('%Y%m%d-%H%M%S')}"
        self.outcomes: dict[str, list[Outcome]] = {}
        self.has_run = False
        """A trial of this campaign has left the rig as it is now."""
        folders = command.compare or (command.policy,)
        self.names = dict(zip("AB", map(str, folders), strict=False))

    def run(self) -> dict[str, Any]:
        """Run all trials; one that was finished in an earlier run is not run again."""
        with locked_folder(self.folder):
            return self._run_all()

    def _run_all(self) -> dict[str, Any]:
        command = self.command
        claim(command, self.folder)
        rounds = slots(command, self.folder)
        self.outcomes = {label: [] for label in sorted({slot.label for slot in rounds[0]})}
        planned = interim_analyses(command.repeat)
        found: Comparison | None = None
        with Progress(total=command.repeat, unit="seed", desc="campaign") as bar:
            for number, of_seed in enumerate(rounds, start=1):
                for slot in of_seed:
                    self.outcomes[slot.label].append(recorded(slot) or self._run(slot))
                bar.update()
                if command.compare and number in planned:
                    found = self._comparison()
                    if found and found.is_clear:
                        break
        return self._finish(found)

    def _run(self, slot: Slot) -> Outcome:
        """Run a trial, again if the host spoiled it, and score it.

        Raises:
            UserError: the host spoiled it each time, or as `run_trial`.
        """
        for left in reversed(range(TRIES)):
            outcome = self._try(slot)
            if outcome is not None:
                return outcome
            if left:
                warn(
                    f"the trial of seed {slot.seed} with {slot.policy} ended by no fault of the "
                    "policy; it is not counted, and is run again"
                )
        raise UserError(
            f"the trial of seed {slot.seed} with {slot.policy} ended {TRIES} times by no fault of "
            "the policy, as said above; mend that, and give the same command, which resumes the "
            "campaign"
        )

    def _try(self, slot: Slot) -> Outcome | None:
        """Run a trial and score it; None if the host spoiled it."""
        firmware = self.command.firmware
        if firmware is None or self.command.compare:  # a folder for each policy
            base = firmware or self.folder / "firmware"
            firmware = Path(f"{base}-{slot.label}")
        config = self.command.one(
            policy=slot.policy,
            seed=slot.seed,
            out=slot.folder,
            firmware=firmware,
            report=False,
            keep_zero=True,
        )
        if self.has_run and not kind_of(config.port).builds:
            centre(config)
        self.has_run = True
        result = run_trial(config)
        return None if is_hosts(config, result) else record(slot, self.command.seconds)

    def _comparison(self) -> Comparison | None:
        a, b = self.outcomes["A"], self.outcomes["B"]
        return compare(a, b, self.command.margin, self.command.repeat)

    def _finish(self, found: Comparison | None) -> dict[str, Any]:
        from sparsectl.hil.campaign.picture import draw  # brings matplotlib, a second's work

        picture = self.folder / "campaign.png"
        by_label: dict[str, Sequence[Outcome]] = dict(self.outcomes)
        draw(by_label, self.names, self.command.margin, self.command.repeat, picture)
        result: dict[str, Any] = {
            "policies": {
                label: {"policy": self.names[label], **figures(outcomes)}
                for label, outcomes in by_label.items()
            },
            "answer": found.words if found else None,
            "difference": asdict(found.difference) if found else None,
            "pairs": found.pairs if found else None,
            "seconds": self.command.seconds,
            "picture": str(picture),
            "folder": str(self.folder),
        }
        write_json(self.folder / "summary.json", {"campaign": result, "provenance": provenance()})
        return {**result, "table": self._table(by_label, found)}

    def _table(
        self, by_label: dict[str, Sequence[Outcome]], found: Comparison | None
    ) -> list[list[str]]:
        rows = table(by_label, self.names)
        if found:
            low, high = found.difference.low, found.difference.high
            words = f"{found.words}: A minus B {found.difference.value:+.3f}"
            rows.append([words, str(found.pairs), f"[{low:+.3f}, {high:+.3f}]", "", "", "", ""])
        rows.append([f"picture: {self.folder / 'campaign.png'}", "", "", "", "", "", ""])
        return rows
