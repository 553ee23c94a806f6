"""What holds for all tests: examples have no deadline, interrupts reach a background job's tests.

SPARSECTL_PEAK_MEMORY names a JSON file for the peak memory of each test file.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import compiler_cache, missing_programs
from tests.peak_memory import PeakMemory

# Hypothesis ends an example after 200 ms outside CI, which a busy machine takes for anything.
settings.register_profile(
    "any machine",
    settings.get_profile("ci" if os.environ.get("CI") else "default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")

missing_programs.skip_where_missing()

# Nothing draws by OpenGL here, for which each process that imports MuJoCo would start another one.
os.environ.setdefault("MUJOCO_GL", "disable")

RECORD = os.environ.get("SPARSECTL_PEAK_MEMORY", "")


def pytest_configure(config: pytest.Config) -> None:
    """Watch, where that is asked for.

    A shell has its background jobs ignore SIGINT, and what they start inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    compiler_cache.start(config)
    if RECORD:
        config.pluginmanager.register(PeakMemory(config, Path(RECORD).absolute()), "peak memory")


def pytest_collectstart() -> None:
    """What is imported from here on leaves no garbage."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """From here on garbage is collected, but what was imported stays and is left alone."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def signals_have_their_default_action() -> Iterator[None]:
    """`nohup make test` has SIGHUP ignored, `make test &` SIGQUIT, and what the tests start would
    inherit that."""
    numbers = (signal.SIGHUP, signal.SIGQUIT)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, action in zip(numbers, before, strict=True):
        signal.signal(number, action)
