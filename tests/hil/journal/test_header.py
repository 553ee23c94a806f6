"""A journal's header is input like any other: anybody can write one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sparsectl import cli
from sparsectl.hil.journal.journal import JournalWriter, read_journal
from sparsectl.hil.trial.trial import run_trial


def test_a_base_in_another_unit_is_refused_in_a_line(
    short: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report would look for how to draw it."""
    run_trial(short(swing_up_limit_s=0.2))
    journal = read_journal(tmp_path / "trial" / "journal.bin")
    header = json.loads(json.dumps(journal.header_json))
    header["signals"]["observation"][0]["unit"] = "<script>furlongs</script>"
    with JournalWriter(tmp_path / "trial" / "journal.bin", header) as writer:
        for record in journal.records:
            writer.write(record.kind, record.payload, record.host_ns)
    assert cli.run(["report", str(tmp_path / "trial")]) == 2
    said = capsys.readouterr().err
    assert "the base moves in '<script>furlongs" in said and "not in m or rad" in said
