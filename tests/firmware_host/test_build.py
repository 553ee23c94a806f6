from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
from pathlib import Path

import pytest

from sparsectl.common.errors import UserError
from sparsectl.export.host_c import compile_c
from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.boards.board import FIRMWARE
from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.compiler import LAUNCHER, _run
from sparsectl.firmware_host.config_header import config_header
from sparsectl.firmware_host.policy_folder import read_policy_facts
from sparsectl.plants.rig_constants import RigConstants
from tests.firmware_host.core_library import RIG
from tests.firmware_host.small_policy import SmallPolicy, small_policy


def test_build_gives_an_executable_and_its_sizes(
    policy_dir: Path, policy: SmallPolicy, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "firmware"
    result = build_firmware(policy_dir, "host", RIG, out)
    assert os.access(result["elf"], os.X_OK)
    assert (result["board"], result["digest"]) == ("host", policy.digest)
    assert min(result["text_bytes"], result["data_bytes"], result["bss_bytes"]) > 0
    assert json.loads((out / "build.json").read_text()) == result
    assert sorted(path.name for path in out.parent.iterdir()) == ["firmware"]


def test_a_build_that_is_there_already_is_left(policy_dir: Path, tmp_path: Path) -> None:
    policy, out = tmp_path / "policy", tmp_path / "out"
    shutil.copytree(policy_dir, policy)
    first = build_firmware(policy, "host", RIG, out)
    made_ns = (out / "firmware.elf").stat().st_mtime_ns
    assert build_firmware(policy, "host", RIG, out) == first
    assert (out / "firmware.elf").stat().st_mtime_ns == made_ns

    def is_new() -> bool:
        nonlocal made_ns
        before, made_ns = made_ns, (out / "firmware.elf").stat().st_mtime_ns
        return before != made_ns

    build_firmware(policy, "host", RIG, out, ("-DOTHER",))
    assert is_new()
    build_firmware(policy, "host", dataclasses.replace(RIG, base_limit=0.1), out, ("-DOTHER",))
    assert is_new()
    with (policy / "policy.c").open("a") as source:
        source.write("/* another */\n")
    build_firmware(policy, "host", RIG, out)
    assert is_new()
    (out / "firmware.elf").write_bytes(b"torn")
    made_ns = (out / "firmware.elf").stat().st_mtime_ns
    build_firmware(policy, "host", RIG, out)
    assert is_new()


@pytest.mark.parametrize("name", BOARDS)
def test_registered_boards_are_whole(name: str) -> None:
    board = BOARDS[name]
    assert board.name == name
    assert len(name) <= 16 and name.isascii()
    assert board.compilers and board.timer_hz > 0 and board.baud > 0
    assert board.sources and all(path.is_file() for path in board.sources)
    assert all((path.is_dir()) for path in board.includes)


def test_core_knows_no_board_and_no_library() -> None:
    """Portable C99: nothing from the system but fixed-width types and memcpy."""
    allowed = {"stdbool.h", "stddef.h", "stdint.h", "string.h"}
    for path in [*(FIRMWARE / "core").glob("*.[ch]"), FIRMWARE / "port.h"]:
        system = {
            line.split("<")[1].split(">")[0]
            for line in path.read_text().splitlines()
            if line.startswith("#include <")
        }
        assert system <= allowed, path


def test_unknown_board(policy_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no board 'abacus'; known: host"):
        build_firmware(policy_dir, "abacus", RIG, tmp_path / "out")


@pytest.mark.parametrize("name", ["policy.c", "policy.h", "policy_vectors.h"])
def test_missing_file(policy_dir: Path, tmp_path: Path, name: str) -> None:
    broken = Path(shutil.copytree(policy_dir, tmp_path / "policy"))
    (broken / name).unlink()
    with pytest.raises(UserError, match=f"has no {name}"):
        build_firmware(broken, "host", RIG, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("POLICY_DIGEST ", "POLICY_DIGESTION ", "POLICY_DIGEST is None"),
        ('POLICY_DIGEST "', 'POLICY_DIGEST "zz', "not 64 hex digits"),
        ("#define POLICY_FRAMES 5", "", "does not define POLICY_FRAMES"),
        ("POLICY_FRAMES 5", "POLICY_FRAMES 4", "not 4 frames of 5"),
        ("POLICY_SIGNALS 5", "POLICY_SIGNALS 4", "takes 4 signals"),
        ("POLICY_ACTION_SIZE 1", "POLICY_ACTION_SIZE 2", "gives 2 actions"),
        ("POLICY_PERIOD_US 20000", "POLICY_PERIOD_US 28571", "trained at a period of 28571 us"),
    ],
)
def test_foreign_header(policy_dir: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    foreign = Path(shutil.copytree(policy_dir, tmp_path / "policy"))
    header = foreign / "policy.h"
    header.write_text(header.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        build_firmware(foreign, "host", RIG, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]


def test_binary_for_a_header(policy_dir: Path, tmp_path: Path) -> None:
    foreign = Path(shutil.copytree(policy_dir, tmp_path / "policy"))
    (foreign / "policy.h").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(UserError, match="export it again"):
        read_policy_facts(foreign)


def test_code_that_does_not_compile(policy_dir: Path, tmp_path: Path) -> None:
    foreign = Path(shutil.copytree(policy_dir, tmp_path / "policy"))
    (foreign / "policy.c").write_text('#include "policy.h"\nvoid policy_act(int x) { }\n')
    with pytest.raises(UserError, match="policy.c does not compile: .*error") as caught:
        build_firmware(foreign, "host", RIG, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]


def test_a_full_disk_is_no_error_in_the_code(tmp_path: Path) -> None:
    source, full = tmp_path / "policy.c", Path("/dev/full")
    source.write_text("int main(void) { return 0; }\n")
    message = "cannot compile .*: the disk is full, .*; free disk space, or give another --out"
    with pytest.raises(UserError, match=message):
        _run(["gcc", str(source), "-o", str(full)], source)
    with pytest.raises(UserError, match=message):
        compile_c([source], full, tmp_path, [])


def test_no_compiler(policy_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no C compiler for the board host .*apt-get install gcc"):
        build_firmware(policy_dir, "host", RIG, tmp_path / "out")


def test_the_same_sources_elsewhere_are_the_same_to_a_compiler_cache(
    policy_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, script = tmp_path / "log", tmp_path / "launcher"
    script.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {os.environ.get(LAUNCHER, "")} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv(LAUNCHER, str(script))
    started, elves = [], []
    for name in ("one", "another"):
        exported = Path(shutil.copytree(policy_dir, tmp_path / name / "policy"))
        elves.append(build_firmware(exported, "host", RIG, tmp_path / name / "out")["elf"])
        assert "exported" not in {path.name for path in Path(elves[-1]).parent.iterdir()}
        # gdb finds the policy's own C by this; it is nothing that code depends on
        mapped = f"-fdebug-prefix-map=exported={exported}"
        started.append(log.read_text().replace(mapped, ""))
        log.unlink()
    assert started[0] == started[1]
    assert " -c exported/policy.c " in started[0] and str(tmp_path) not in started[0]


def test_a_launcher_that_is_not_there(
    policy_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LAUNCHER, "no-such-cache --quick")
    with pytest.raises(UserError, match=f"{LAUNCHER} names no-such-cache, which is not installed"):
        build_firmware(policy_dir, "host", RIG, tmp_path / "out")


def test_spares_a_folder_that_holds_something_else(policy_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds something other than a firmware"):
        build_firmware(policy_dir, "host", RIG, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_unit_per_count", 0.0),
        ("base_unit_per_count", 1e-12),
        ("pole_rad_per_count", math.nan),
        ("pole_rad_per_count", 4.0),
        ("base_limit", -1.0),
        ("period_us", 100),
        ("max_duty", 1.5),
        ("pole_rate_limit", math.inf),
    ],
)
def test_rig_out_of_range(field: str, value: float) -> None:
    with pytest.raises(UserError, match=field):
        dataclasses.replace(RIG, **{field: value})


def test_config_header_holds_limits_in_counts(policy_dir: Path) -> None:
    text = config_header(RIG, read_policy_facts(policy_dir), BOARDS["host"])
    assert "#define RIG_BASE_TRAVEL_COUNTS 2200\n" in text
    assert "#define RIG_BASE_STEP_COUNTS 445\n" in text  # 2 m/s for 20 ms, at 90 um a count
    assert "#define RIG_PERIOD_US 20000u\n" in text
    assert "#define SAFETY_STILL_TICKS 25u\n" in text


def test_another_rig(tmp_path: Path) -> None:
    """A rotary base at 200 Hz: other numbers, the same code."""
    turn = 2 * math.pi / 2048
    rig = RigConstants(turn, turn, 1.5, 5_000, 0.8, 40.0, 80.0)
    policy_dir = small_policy(period_us=5_000).write(tmp_path / "policy")
    assert Path(build_firmware(policy_dir, "host", rig, tmp_path / "out")["elf"]).is_file()
