"""The benchmark of long sequences finds every core equal, and an action that differs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sparsectl.common.files import read_json
from tests.tools import need

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import long_sequences  # noqa: E402

TICKS = 80

PROGRAMS = {
    "cortex-m4f": ("arm-none-eabi-gcc",),
    "rv32imac": ("riscv64-unknown-elf-gcc", "qemu-system-riscv32"),
    "atmega328p": ("avr-gcc", "simavr", "gcc"),
    "host": ("gcc",),
}


@pytest.mark.parametrize("encoding", ["dense", "straight-int8"])
@pytest.mark.parametrize("core", PROGRAMS)
def test_each_action_is_the_references(core: str, encoding: str) -> None:
    need(*PROGRAMS[core])
    (row,) = long_sequences.rows(encoding, [core], TICKS)
    assert (row["core"], row["encoding"], row["differing"]) == (core, encoding, 0)
    assert row["actions"] == 2 * TICKS and row["resets"] >= 1


def test_actions_that_differ_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core whose state is never reset differs from the second reset on."""
    need("gcc")
    forgetful = long_sequences.SOURCE.replace("inner_reset();", "")
    monkeypatch.setattr(long_sequences, "SOURCE", forgetful)
    (row,) = long_sequences.rows("dense", ["host"], TICKS)
    assert 0 < row["differing"] < row["actions"] and row["resets"] > 1


def test_a_policy_that_does_not_fit_has_no_row_of_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need("avr-gcc")
    large = long_sequences.SOURCE.replace("\n\n", "\nstatic volatile float kept[900];\n\n")
    large = large.replace(
        "    inner_act", "    kept[(int)observation[1] & 511] = 1;\n    inner_act"
    )
    monkeypatch.setattr(long_sequences, "SOURCE", large)
    (row,) = long_sequences.rows("dense", ["atmega328p"], 10)
    assert row["differing"] is None


def test_a_file_of_another_number_of_ticks_is_begun_anew(tmp_path: Path) -> None:
    need("gcc")
    out = tmp_path / "long.json"
    for ticks in (40, 30):
        long_sequences.main(long_sequences.Asked(ticks, ("host",), ("dense",), out))
    found = read_json(out)
    assert (found["ticks"], [row["actions"] for row in found["rows"]]) == (30, [60])
