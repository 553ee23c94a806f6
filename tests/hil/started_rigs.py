"""The virtual rigs that a trial in this process starts, for a test to get at their processes."""

from __future__ import annotations

import pytest

from sparsectl.hil.simulation.virtual_rig import VirtualRig


def rigs_as_they_start(monkeypatch: pytest.MonkeyPatch) -> list[VirtualRig]:
    """Fills with each virtual rig once its processes run."""
    started: list[VirtualRig] = []
    enter = VirtualRig.__enter__

    def remember(rig: VirtualRig) -> VirtualRig:
        started.append(enter(rig))
        return started[-1]

    monkeypatch.setattr(VirtualRig, "__enter__", remember)
    return started
