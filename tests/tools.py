"""Programs that a test needs and a fresh machine may lack."""

from __future__ import annotations

import os
import shutil

import pytest

from sparsectl.firmware_host.tools import TOOLS


def need(*programs: str) -> None:
    """Skip the test without these programs; where SPARSECTL_TOOLS is `required` (CI), fail it."""
    for name in programs:
        if shutil.which(name) is not None:
            continue
        reason = f"{name} is not installed: make toolchain (or apt install {TOOLS[name]})"
        if os.environ.get("SPARSECTL_TOOLS") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
