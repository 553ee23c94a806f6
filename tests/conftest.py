"""Peak memory a test file, recorded where SPARSECTL_PEAK_MEMORY names a JSON file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

RECORD = os.environ.get("SPARSECTL_PEAK_MEMORY", "")
_KEPT = Path("/proc/self/clear_refs")


def _peak_mb() -> int:
    """Of this process since the peak was last forgotten; what children take is not in it."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None):  # type: ignore[no-untyped-def]
    """Note the greatest peak that a test of each file reached."""
    if not RECORD:
        return (yield)
    _KEPT.write_text("5")  # the peak is what is resident now
    result = yield
    path = Path(RECORD)
    peaks = json.loads(path.read_text()) if path.is_file() else {}
    name = item.path.relative_to(item.config.rootpath).as_posix()
    peaks[name] = max(peaks.get(name, 0), _peak_mb())
    path.write_text(json.dumps(dict(sorted(peaks.items())), indent=1) + "\n")
    return result
