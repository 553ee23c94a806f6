"""Peak memory a test file, recorded where SPARSECTL_PEAK_MEMORY names a JSON file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.peak_memory import PeakMemory

RECORD = os.environ.get("SPARSECTL_PEAK_MEMORY", "")


def pytest_configure(config: pytest.Config) -> None:
    """Watch, where that is asked for."""
    if RECORD:
        config.pluginmanager.register(PeakMemory(config, Path(RECORD).absolute()), "peak memory")
