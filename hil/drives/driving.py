"""Make the drive that a trial's plan asks for, and the policy if that runs on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsectl.firmware_host.policy_library import build_policy_library
from sparsectl.hil.drives.drives import Drive, LockstepDrive, PilDrive, Steps, StreamDrive
from sparsectl.hil.drives.host_drives import Commander, HostLockstepDrive, HostStreamDrive
from sparsectl.hil.drives.presence import Presence
from sparsectl.hil.drives.safety import InterruptGuard
from sparsectl.hil.journal.journal import JournalWriter
from sparsectl.hil.link.session import Session
from sparsectl.hil.planning.plan import Plan
from sparsectl.hil.timing.pacing import RealtimePace, Unpaced

if TYPE_CHECKING:
    from sparsectl.plants.plant import Plant


def host_policy(plan: Plan) -> Commander:
    """Compile the policy for this machine and check its golden vectors.

    Raises:
        UserError: no compiler, or a vector that differs.
    """
    constants = plan.rig.firmware_constants()
    library = build_policy_library(plan.config.policy, constants, plan.folder / "host_policy")
    library.check_golden_vectors()
    return Commander(library)


def make_drive(
    plan: Plan,
    session: Session,
    guard: InterruptGuard,
    journal: JournalWriter,
    commander: Commander | None,
    plant: Plant | None,
    presence: Presence,
) -> Drive:
    """Make the drive for the plan's mode and clock.

    Args:
        plan: the trial's plan.
        session: the session with the board, which has been identified and configured.
        guard: checked between frames.
        journal: records host mode's computations; its time follows the steps of lockstep.
        commander: the policy of host mode; None in the others.
        plant: the pendulum of processor in the loop; None in the others.
        presence: updated in each turn if the board's clock is real.
    """
    period_us = plan.expectation.rig.period_us
    if plant is not None:
        pace = RealtimePace(period_us) if plan.is_realtime else Unpaced()
        return PilDrive(session.link, guard, plant, journal.now, pace)
    if not plan.is_lockstep:
        if commander is not None:
            return HostStreamDrive(session.link, guard, period_us, commander, journal, presence)
        return StreamDrive(session.link, guard, period_us, presence)
    hello = session.hello()
    steps = Steps(session.link, journal.now, hello["tick"], period_us)
    if commander is not None:
        return HostLockstepDrive(session.link, guard, steps, commander)
    return LockstepDrive(session.link, guard, steps, hello["link_timeout_ticks"])
