"""Replay a journal: find the policy that it names, build it again, play, and judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.common.progress import Progress
from sparsectl.common.scratch import scratch_folder
from sparsectl.firmware_host.config_header import firmware_version, rig_digest
from sparsectl.hil.journal.journal import Journal, find_journal, read_and_warn
from sparsectl.hil.journal.policy_folder import first_with_digest, places_beside, recorded_place
from sparsectl.hil.journal.sources import copy_sources
from sparsectl.hil.journal.trace import require_protocol
from sparsectl.hil.replay.commands import first_other_command
from sparsectl.hil.replay.config import ReplayConfig
from sparsectl.hil.replay.confined import confined_compilers
from sparsectl.hil.replay.engine import Engine, build_engine
from sparsectl.hil.replay.player import Difference, Player
from sparsectl.hil.replay.policy_process import build_policy_process
from sparsectl.hil.replay.script import read_script

DECIDED = ("state", "fault", "duty")
"""Names of what the board's checks decide, and not the policy alone."""


def replay(config: ReplayConfig) -> dict[str, Any]:
    """Run `sparsectl replay`.

    Returns:
        `verdict` (a sentence), `agrees` (None where the first difference says nothing of the
        policy: the line lost frames just before it, or the board was built with other checks, which
        stopped it or did not), `ticks` (that agree),
        `first_difference` (tick, field, journal, replay; or None), `lost_ticks`, `losses` (places
        where the line lost frames of the board), `ticks_before_home` (not compared), `digest`,
        `dropped_bytes` of the journal's torn tail.

    Raises:
        UserError: no journal, the policy that it names is not to be found, or its C is not that
            of the trial.
    """
    path = find_journal(config.journal)
    journal = read_and_warn(path)
    require_protocol(journal, path)
    found = find_policy(journal, path, config.policy)
    rig = journal.header.rig_constants
    with scratch_folder("replay") as folder:
        other = None
        policy = folder / "policy"
        copy_sources(journal, found, policy, config.trust_policy)
        with confined_compilers(folder):
            program = build_engine(policy, rig, folder / "firmware")
        with Engine(program) as engine:
            frames = journal.header.parsed_signals.frames
            player = Player(engine, frames, journal.header.state_size > 0)
            difference = play(journal, player)
        if journal.header.config.mode == "host":
            with confined_compilers(folder):
                process = build_policy_process(policy, rig, folder / "host_policy")
            other = first_other_command(journal, process)
            difference = min(filter(None, (other, difference)), key=_tick, default=None)
    is_clouded = difference is not None and difference is not other and player.is_clouded
    checks = ""
    if difference is not None and difference is not other and difference.field in DECIDED:
        checks = _other_checks(journal)
    return {
        "verdict": _verdict(difference, player, is_clouded) + checks,
        "agrees": None if is_clouded or checks else difference is None,
        "ticks": len(player.compared),
        "first_difference": vars(difference) if difference else None,
        "lost_ticks": player.lost,
        "losses": player.losses,
        "ticks_before_home": player.outside,
        "digest": journal.header.digest,
        "dropped_bytes": journal.dropped_bytes,
    }


def _tick(difference: Difference) -> int:
    return difference.tick


def play(journal: Journal, player: Player) -> Difference | None:
    """Play a journal up to the first difference."""
    for action in Progress(read_script(journal), "replay", unit=" actions"):
        if (difference := player.play(action)) is not None:
            return difference
    return None


def find_policy(journal: Journal, path: Path, named: Path | None) -> Path:
    """Return the folder with the C of the policy that the journal was made with.

    Raises:
        UserError: the policy is neither at its recorded place nor beside the journal, or it is
            another policy.
    """
    digest = journal.header.digest
    places = [named] if named else [recorded_place(journal), *places_beside(path.parent)]
    place, seen = first_with_digest(places, digest)
    if place is not None:
        return place
    if named and seen:
        raise UserError(
            f"the journal is of policy {digest[:12]}, {named} holds {seen[named][:12]}; "
            "name the folder of the one that ran"
        )
    raise UserError(
        f"policy {digest[:12]} is not in {' or '.join(map(str, places))}; name its folder with "
        "--policy"
    )


def _other_checks(journal: Journal) -> str:
    """Explain that the board's safety checks were not those of this version; empty if they were."""
    hello = next(iter(journal.notes("hello")), {})
    if hello.get("rig_digest") in (None, rig_digest(journal.header.rig_constants).hex()):
        return ""
    here = firmware_version()
    cause = f"were those of version {hello.get('firmware_version')}, and these are of {here}"
    if hello.get("firmware_version") == here:
        cause = "had other constants than the journal's header has"
    return f"; but the board's safety checks {cause}, so that this says nothing about the policy"


def _verdict(difference: Difference | None, player: Player, is_clouded: bool) -> str:
    agreed = len(player.compared)
    if is_clouded:
        return (
            f"{agreed} ticks agree; {difference}, but just before it the line lost frames, so "
            "what the board heard there is not known: which says nothing about the policy"
        )
    if difference is not None:
        return f"{difference}; {agreed} ticks before it agree"
    if not player.compared:
        return "no tick to compare: the journal ends before the board was homed"
    return f"all {agreed} ticks agree"
