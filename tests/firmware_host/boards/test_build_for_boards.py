"""What `sparsectl build` says of a board and what it refuses, and what `flash` runs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sparsectl.common.errors import UserError
from sparsectl.common.files import write_json
from sparsectl.common.signal_ranges import Pair
from sparsectl.export.config import ExportConfig
from sparsectl.export.pipeline import export_policy
from sparsectl.firmware_host.boards import BOARDS, Board
from sparsectl.firmware_host.boards.arduino_uno import ARDUINO_UNO
from sparsectl.firmware_host.boards.hifive1 import HIFIVE1
from sparsectl.firmware_host.boards.microcontroller import Microcontroller
from sparsectl.firmware_host.boards.nucleo_f446re import NUCLEO_F446RE
from sparsectl.firmware_host.boards.stm32f405 import STM32F405
from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.config import FlashConfig
from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.firmware_host.encoder_budget import check_encoders
from sparsectl.firmware_host.flash import flash
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.trial.trial import run_trial
from sparsectl.plants.rig import load_rig, rig_names
from sparsectl.plants.rig_constants import RigConstants
from sparsectl.protocol.client import Client
from tests.firmware_host.boards.conftest import need_board
from tests.firmware_host.small_policy import small_policy
from tests.hil.policies import EASY_POLICY, EASY_RIG
from tests.tools import need


@pytest.mark.parametrize(
    ("board", "cycles_kind", "counts_instructions"),
    [(ARDUINO_UNO, "exact", False), (STM32F405, "modelled", True), (HIFIVE1, None, True)],
    ids=lambda value: getattr(value, "name", None),
)
def test_build_tells_the_worst_case_of_the_control_tick(
    board: Board,
    cycles_kind: str | None,
    counts_instructions: bool,
    easy: Path,
    rig: RigConstants,
    tmp_path: Path,
) -> None:
    need_board(board)
    result = build_firmware(easy, board, rig, tmp_path / "out", measure=True)
    assert json.loads((tmp_path / "out" / "build.json").read_text()) == result
    assert result["tick_cycles_kind"] == cycles_kind
    assert (result["tick_instructions"] is not None) == counts_instructions
    counts = result["tick_cycles"] or result["tick_instructions"]
    # 552 weights, each of which takes several cycles; the rest of a tick is a small part of it
    assert 552 * 3 < counts < 400_000
    assert result["tick_share"] == pytest.approx(result["tick_microseconds"] / rig.period_us)
    assert result["flash_bytes"] < result["flash_limit"]
    assert result["ram_bytes"] < result["ram_limit"]
    assert [Path(image).suffix[1:] for image in result["images"]] == list(board.images)
    assert all(Path(image).stat().st_size > 0 for image in result["images"])


@pytest.mark.parametrize(
    ("changes", "measure", "complaint"),
    [
        ({"flash_bytes": 8192}, False, "bytes of flash on arduino-uno, which has 8192"),
        ({"ram_bytes": 1024}, False, "bytes of ram on arduino-uno, which has 1024"),
        (
            {"clock_hz": 1_000_000, "edge_cycles": None, "deaf_cycles": None},
            True,
            "us on arduino-uno, over the period of 20000 us",
        ),
    ],
)
def test_a_firmware_that_the_board_cannot_run_is_refused(
    changes: dict[str, int | None],
    measure: bool,
    complaint: str,
    easy: Path,
    rig: RigConstants,
    tmp_path: Path,
) -> None:
    need_board(ARDUINO_UNO)
    board = replace(ARDUINO_UNO, **changes)
    with pytest.raises(UserError, match=complaint):
        build_firmware(easy, board, rig, tmp_path / "out", measure=measure)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"base_unit_per_count": 5e-5}, "the base's encoder makes 100000 .* can tell 60606"),
        ({"pole_rad_per_count": 9e-4}, "the pole's encoder makes 66667 edges .* can tell 60606"),
        (
            {"base_unit_per_count": -5e-5},
            "the base's encoder makes 100000 .* can tell 60606",
        ),
    ],
)
def test_an_encoder_that_the_board_cannot_follow_is_refused(
    changes: dict[str, float], complaint: str, easy: Path, rig: RigConstants, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=complaint):
        build_firmware(easy, "arduino-uno", replace(rig, **changes), tmp_path / "out", measure=True)
    assert not (tmp_path / "out").exists()
    assert check_encoders(STM32F405, replace(rig, **changes)) is None  # whose timers count them


@pytest.mark.parametrize("board", [STM32F405, NUCLEO_F446RE])
@pytest.mark.parametrize("name", ["base", "pole"])
def test_a_timer_that_turns_over_between_two_ticks_is_refused(
    board: Microcontroller, name: str, rig: RigConstants
) -> None:
    """By half its range, it would read as one that turned back: 16 bits, in six periods."""
    unit = {"base": "base_unit_per_count", "pole": "pole_rad_per_count"}[name]
    limit = {"base": rig.base_rate_limit, "pole": rig.pole_rate_limit}[name]
    largest = limit * 6 * rig.period_us * 1e-6 / 32_767
    assert check_encoders(board, replace(rig, **{unit: 1.001 * largest})) is None
    with pytest.raises(
        UserError, match=f"the {name}'s encoder makes 32.* tells 32767 from as many"
    ):
        check_encoders(board, replace(rig, **{unit: 0.999 * largest}))


def test_more_edges_than_the_processor_has_cycles_for_are_refused(rig: RigConstants) -> None:
    slow = replace(ARDUINO_UNO, edge_cycles=200, deaf_cycles=0)
    with pytest.raises(UserError, match="make 95377 edges .* arduino-uno counts 80000 at 200 cyc"):
        check_encoders(slow, rig)


@pytest.mark.parametrize("name", rig_names())
def test_the_rigs_that_come_with_it_build_for_every_board(name: str) -> None:
    rig = load_rig(name).firmware_constants()
    for board in BOARDS.values():
        budget = check_encoders(board, rig)
        assert (budget is None) == (board.core.name not in ("atmega328p", "atmega2560"))
        assert budget is None or 0 < budget.share < 1


def test_a_policy_that_the_linker_script_has_no_room_for_is_refused(
    easy: Path, rig: RigConstants, tmp_path: Path
) -> None:
    need_board(ARDUINO_UNO)
    policy = tmp_path / "policy"
    shutil.copytree(easy, policy)
    with (policy / "policy.c").open("a") as source:
        source.write("const char ballast[30000] PROGMEM __attribute__((used)) = {1};\n")
    flags = ("-Wl,--undefined=ballast",)
    with pytest.raises(UserError, match=r"is \d+ bytes too large for the flash of arduino-uno"):
        build_firmware(policy, ARDUINO_UNO, rig, tmp_path / "out", flags)


@pytest.mark.parametrize("name", ["stm32f405", "arduino-uno"])
def test_policies_with_assembly_compute_the_same_bits(
    name: str, rig: RigConstants, tmp_path: Path
) -> None:
    need_board(BOARDS[name])
    policy = tmp_path / "policy"
    export_policy(
        ExportConfig(
            model=EASY_POLICY,
            out=policy,
            encoding="packed-int8",
            range=(Pair(-40, 40),),
            observations=50,
            vectors=4,
            error=1.0,
        )
    )
    assert (policy / "policy.S").is_file()
    built = build_firmware(policy, name, rig, tmp_path / "firmware")
    with (
        RunningBoard(BOARDS[name], Path(built["elf"])) as running,
        Client(running.port) as line,
    ):
        errors = [line.ask("BENCH", index=index)["max_error"] for index in range(4)]
    assert errors == [0.0] * 4


def test_without_an_emulator_the_tick_is_not_measured_and_build_says_so(
    easy: Path, rig: RigConstants, tmp_path: Path
) -> None:
    need_board(STM32F405)
    board = replace(STM32F405, emulator=None)
    result = build_firmware(easy, board, rig, tmp_path / "out", measure=True)
    assert result["tick_cycles"] is result["tick_microseconds"] is None
    assert result["tick_note"].startswith("not measured")


def test_trial_runs_a_named_board_in_its_emulator(easy: Path, tmp_path: Path) -> None:
    need_board(ARDUINO_UNO)
    config = TrialConfig(
        policy=easy,
        rig=str(EASY_RIG),
        board="arduino-uno",
        mode="pil",
        clock="fast",
        seconds=0.5,
        disturbances=0,
        out=tmp_path / "trial",
        report=False,
    )
    result = run_trial(config)
    assert (result["board"], result["ended"]) == ("arduino-uno", "completed")
    refused = replace(config, mode="device", clock="realtime", out=tmp_path / "refused")
    with pytest.raises(UserError, match="an emulated arduino-uno has no pendulum on its pins"):
        run_trial(refused)
    with pytest.raises(UserError, match="no board 'abacus'; known: host, "):
        run_trial(replace(refused, board="abacus"))
    assert not (tmp_path / "refused").exists()


def built(folder: Path, board: str) -> Path:
    """A folder as `build` leaves it, as far as `flash` looks."""
    folder.mkdir()
    (folder / "build.json").write_text(json.dumps({"board": board, "digest": "ab" * 32}))
    for kind in BOARDS[board].images:
        (folder / f"firmware.{kind}").write_bytes(b":00000001FF\n")
    return folder


def test_flash_copies_to_a_board_that_is_a_drive(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    drive = tmp_path / "MICROBIT"
    drive.mkdir()
    folder = built(tmp_path / "firmware", "microbit")
    with pytest.raises(UserError, match="is no MICROBIT drive"):
        flash(FlashConfig(folder, port=str(drive)))
    (drive / "DETAILS.TXT").write_text("DAPLink")
    result = flash(FlashConfig(folder, port=str(drive)))
    assert (drive / "firmware.hex").read_bytes() == b":00000001FF\n"
    assert f"$ {result['commands'][0]}" in capfd.readouterr().err
    (tmp_path / "policy").mkdir()
    assert flash(FlashConfig(tmp_path / "policy", port=str(drive))) == result


@pytest.mark.parametrize(
    ("board", "tool", "package"),
    [
        ("stm32f405", "st-flash", "stlink-tools"),
        ("hifive1", "openocd", "openocd"),
        ("arduino-uno", "avrdude", "avrdude"),
    ],
)
def test_flash_names_the_package_of_a_missing_tool(
    board: str, tool: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=f"{tool} is not installed.* apt install {package}"):
        flash(FlashConfig(built(tmp_path / "firmware", board), port="/dev/ttyACM9"))


@pytest.mark.parametrize(("board", "tool"), [("stm32f405", "st-flash"), ("hifive1", "openocd")])
def test_flash_passes_on_that_no_board_is_there(
    board: str, tool: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    need(tool)
    with pytest.raises(UserError, match=f"{tool} ended with code .*: check the cable"):
        flash(FlashConfig(built(tmp_path / "firmware", board)))
    assert f"$ {shutil.which(tool)} " in capfd.readouterr().err


def test_flash_waits_for_no_port_that_is_not_there(tmp_path: Path) -> None:
    need("avrdude")
    with pytest.raises(UserError, match="no port /dev/ttyNONE; plug the board in"):
        flash(FlashConfig(built(tmp_path / "firmware", "arduino-mega2560"), port="/dev/ttyNONE"))


def test_flash_refuses_a_firmware_of_another_policy_than_the_one_named(tmp_path: Path) -> None:
    """After a second export into the policy's folder, or for the neighbour of what was built."""
    drive = tmp_path / "MICROBIT"
    drive.mkdir()
    (drive / "DETAILS.TXT").write_text("DAPLink")
    before, now = small_policy(seed=3), small_policy(seed=4)
    policy = before.write(tmp_path / "policy")
    folder = built(tmp_path / "firmware", "microbit")
    write_json(folder / "build.json", {"board": "microbit", "digest": before.digest})
    flash(FlashConfig(policy, port=str(drive)))
    now.write(policy)
    (drive / "firmware.hex").unlink()
    says = f"is of policy {before.digest[:12]}, .* is {now.digest[:12]}; build it: sparsectl build"
    with pytest.raises(UserError, match=says):
        flash(FlashConfig(policy, port=str(drive)))
    assert not (drive / "firmware.hex").exists()
    flash(FlashConfig(folder, port=str(drive)))  # named itself, it is meant


@pytest.mark.parametrize("summary", [{}, [], {"board": "microbit"}])
def test_flash_refuses_a_build_without_its_facts(tmp_path: Path, summary: object) -> None:
    write_json(built(tmp_path / "firmware", "microbit") / "build.json", summary)
    with pytest.raises(UserError, match="build.json is not as build writes it; build again"):
        flash(FlashConfig(tmp_path / "firmware", port="x"))


def test_flash_refuses_what_it_cannot_mean(tmp_path: Path) -> None:
    folder = built(tmp_path / "firmware", "arduino-uno")
    with pytest.raises(UserError, match="--port is missing"):
        flash(FlashConfig(folder))
    with pytest.raises(UserError, match="is for arduino-uno, not microbit"):
        flash(FlashConfig(folder, board="microbit", port="x"))
    with pytest.raises(UserError, match="no firmware in"):
        flash(FlashConfig(tmp_path / "nowhere" / "x"))
    with pytest.raises(UserError, match="host has no flash"):
        flash(FlashConfig(built(tmp_path / "process", "host")))
