"""`sparsectl trial`: run one trial or a campaign of trials, or check the wiring."""

from __future__ import annotations

from typing import Any

from sparsectl.commands.any_rig.policies import with_its_rig
from sparsectl.common.errors import UserError
from sparsectl.hil.campaign.campaign import run_campaign
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.hil.trial.trial import run_trial
from sparsectl.hil.wiring.check import check_wiring

MOST_TRIALS, MOST_MARGIN = 100_000, 1000.0


def trial(command: TrialCommand) -> dict[str, Any]:
    """Run one trial, or a campaign if the command asks for more than one trial or for two policies.

    Returns:
        What `run_trial`, `run_campaign` or `check_wiring` returns.

    Raises:
        UserError: what these raise, or settings that exclude each other.
        SystemExit: SIGINT or SIGTERM ended it; the motor is off.
    """
    if not 1 <= command.repeat <= MOST_TRIALS:
        raise UserError(f"--repeat is {command.repeat}; give 1 to {MOST_TRIALS}")
    if not 0 < command.margin <= MOST_MARGIN:
        raise UserError(f"--margin is {command.margin}; give a share over 0, such as 0.02")
    command = with_its_rig(command)
    if command.check_wiring:
        if command.repeat > 1 or command.compare is not None or command.live:
            raise UserError("--check-wiring runs no trial; leave --repeat, --compare, --live out")
        return check_wiring(command.one())
    if command.repeat == 1 and command.compare is None:
        return run_trial(command.one())
    if command.compare is not None and command.repeat < 2:
        raise UserError(f"--compare needs trials to compare; give --repeat 100, not {1}")
    if command.live:
        raise UserError("--live shows one trial and waits for its Arm button; leave --repeat out")
    return run_campaign(command)
