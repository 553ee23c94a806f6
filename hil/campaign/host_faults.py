"""Trials that the host spoiled: they tell nothing of the policy, and are run again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sparsectl.hil.config import TrialConfig
from sparsectl.hil.ports import kind_of
from sparsectl.protocol.wire import Fault

_SILENCES: Final = (Fault.LINK_LOST, Fault.COMMAND_LATE)
"""The host, or the line to it, was silent: a policy cannot cause these."""


def is_hosts(config: TrialConfig, result: Mapping[str, Any]) -> bool:
    """Return whether the host, not the policy, ended a trial.

    A board that heard nothing says so, because the host was suspended or busy, or the cable bad.
    The virtual rig runs on the host too, and its ticks come late with it. A fault that was
    injected is the campaign's subject.

    Args:
        config: the settings of the trial.
        result: as `run_trial` returns it.
    """
    if config.fault is not None or config.clock != "realtime":
        return False
    fault = Fault[result["fault"]]
    return fault in _SILENCES or (fault == Fault.OVERRUN and kind_of(config.port).builds)
