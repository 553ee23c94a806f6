"""Peak memory a test file, recorded where SPARSECTL_PEAK_MEMORY names a JSON file; interrupts reach
the tests of a background job, too."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.peak_memory import PeakMemory

RECORD = os.environ.get("SPARSECTL_PEAK_MEMORY", "")


def pytest_configure(config: pytest.Config) -> None:
    """Watch, where that is asked for.

    A shell has its background jobs ignore SIGINT, and what they start inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if RECORD:
        config.pluginmanager.register(PeakMemory(config, Path(RECORD).absolute()), "peak memory")
