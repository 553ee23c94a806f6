"""The wiring check: every way to connect a motor and two encoders, and what is said of it."""

from __future__ import annotations

import itertools
import json
import re
import socket
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.commands.trial import trial
from sparsectl.common.errors import UserError
from sparsectl.firmware_host.build import build_firmware
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.hil.drives.drives import Drive
from sparsectl.hil.drives.mover import GENTLE
from sparsectl.hil.simulation.miswired import SIGNS, MiswiredPlant, Wiring
from sparsectl.hil.simulation.plant_server import serve
from sparsectl.hil.wiring import check
from sparsectl.hil.wiring.diagnosis import Diagnosis, judge
from sparsectl.hil.wiring.hand import is_counting
from sparsectl.hil.wiring.signs import write_signs
from sparsectl.hil.wiring.strokes import BLIND, Strokes
from sparsectl.plants.plant import Plant
from sparsectl.plants.rig import RIGS_FOLDER, Rig, load_rig, rig_names
from tests.hil.busy import LATE, in_real_time
from tests.hil.policies import EASY_RIG, SWITCHED_RIG

RIGS = [*rig_names(), str(EASY_RIG)]
WAYS = [Wiring(*ways) for ways in itertools.product(("right", "reversed"), SIGNS, SIGNS)]


class Flickering(MiswiredPlant):
    """A rig of which one encoder has a dead channel: the other alone makes its count flicker."""

    def __init__(self, plant: Plant, axis: int) -> None:
        super().__init__(plant, Wiring())
        self.axis, self.zero = axis, plant.counts()[axis]

    def counts(self) -> tuple[int, int]:
        base, pole = super().counts()
        if self.axis == 0:
            return self.zero + base // 2 % 2, pole
        return base, self.zero + pole // 2 % 2


def push(
    rig: Rig, wiring: Wiring, travel: float, seed: int | None = None, dead: int | None = None
) -> tuple[Strokes, Plant]:
    """The strokes on a simulated rig without a board between, and where it ended."""
    plant = Plant(rig)
    plant.reset(seed or 0, randomised=seed is not None)
    plant.hang()
    wired = MiswiredPlant(plant, wiring) if dead is None else Flickering(plant, dead)
    strokes = Strokes(rig, travel, blind=True)
    zero = wired.counts()
    for tick in range(1, 2000):
        base, pole = (now - start for now, start in zip(wired.counts(), zero, strict=True))
        duty = strokes.duty(tick, base, pole)
        assert abs(duty) <= GENTLE * rig.motor.max_duty
        if strokes.is_done:
            return strokes, plant
        wired.set_duty(duty)
        wired.advance(rig.period_s)
        assert abs(plant.state()[0]) < rig.base.limit
    raise AssertionError("the strokes never end")


def settle(rig: Rig, wiring: Wiring, seed: int | None = None) -> Diagnosis:
    """As `check` does: farther until the answers are clear."""
    for travel in check.TRAVELS:
        diagnosis = judge(rig, push(rig, wiring, travel, seed)[0].strokes)
        if "unknown" not in (diagnosis.base, diagnosis.pole):
            break
    return diagnosis


def wanted(wiring: Wiring) -> Diagnosis:
    """What there is to find: signs are relative to the motor, which is forward by definition."""
    if wiring.base == wiring.pole == "unplugged":
        return Diagnosis(False, "unknown", "unknown")
    found = {"right": "right", "reversed": "reversed", "unplugged": "unplugged"}
    if wiring.motor == "reversed":
        found |= {"right": "reversed", "reversed": "right"}
    return Diagnosis(True, found[wiring.base], found[wiring.pole])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RIGS)
@pytest.mark.parametrize("wiring", WAYS, ids=str)
def test_every_way_to_connect_them_is_found(name: str, wiring: Wiring) -> None:
    assert settle(load_rig(name), wiring) == wanted(wiring)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(RIGS),
    wiring=st.sampled_from(WAYS),
    seed=st.integers(0, 2**32 - 1),
    signs=st.tuples(st.sampled_from((-1, 1)), st.sampled_from((-1, 1))),
    length=st.floats(0.7, 1.4),
)
def test_it_is_found_on_units_that_differ_from_their_file(
    name: str, wiring: Wiring, seed: int, signs: tuple[int, int], length: float
) -> None:
    """Friction, masses and supply drawn from the rig's ranges, and the file's own signs either."""
    rig = load_rig(name)
    rig = replace(
        rig,
        base=replace(rig.base, unit_per_count=signs[0] * rig.base.unit_per_count),
        pole=replace(
            rig.pole,
            counts_per_turn=signs[1] * rig.pole.counts_per_turn,
            length_m=length * rig.pole.length_m,
        ),
    )
    found, truth = settle(rig, wiring, seed), wanted(wiring)
    assert found.motor_drives == truth.motor_drives
    assert found.base == truth.base
    assert found.pole == truth.pole or (wiring.base == "unplugged" and found.pole == "unknown")


@pytest.mark.parametrize("name", RIGS)
@pytest.mark.parametrize("axis", [0, 1], ids=["base", "pole"])
def test_an_encoder_with_a_dead_channel_is_a_silent_one(name: str, axis: int) -> None:
    """A flicker that was taken for coasting once gave the base a direction."""
    rig = load_rig(name)
    for travel in check.TRAVELS:
        found = judge(rig, push(rig, Wiring(), travel, dead=axis)[0].strokes)
        assert (found.base, found.pole)[axis] in ("unplugged", "unknown")
        if axis == 0:
            assert found.base == "unplugged" and found.pole in ("right", "unknown")
    assert (found.base, found.pole)[axis] == "unplugged"


@pytest.mark.parametrize("name", RIGS)
def test_a_motor_that_is_off_moves_nothing(name: str) -> None:
    diagnosis = settle(load_rig(name), Wiring(motor="unplugged"))
    assert diagnosis == Diagnosis(False, "unknown", "unknown")


@pytest.mark.parametrize("name", RIGS)
def test_a_base_that_is_not_seen_goes_no_farther_than_a_part_of_its_limit(name: str) -> None:
    """Its encoder and the pole's are silent: nothing but the bound holds it."""
    rig = load_rig(name)
    wiring = Wiring(base="unplugged", pole="unplugged")
    plant = Plant(rig)
    plant.reset(0)
    plant.hang()
    strokes, wired, farthest = Strokes(rig, 0.05, blind=True), MiswiredPlant(plant, wiring), 0.0
    for tick in range(1, 1000):
        wired.set_duty(strokes.duty(tick, 0, 0))
        if strokes.is_done:
            break
        wired.advance(rig.period_s)
        farthest = max(farthest, abs(plant.state()[0]))
    assert strokes.is_done
    assert 0 < farthest < 2 * BLIND * rig.base.limit


@pytest.mark.parametrize("name", RIGS)
def test_a_driver_that_always_drives_fully_is_let_go_before_the_end(name: str) -> None:
    """It once drove on: one rig went past its limit, another through nine tenths of it."""
    rig = load_rig(name)
    plant = Plant(rig)
    plant.reset(0)
    plant.hang()
    wired, strokes, farthest = (
        MiswiredPlant(plant, Wiring(motor="held")),
        Strokes(rig, 0.05, blind=True),
        0.0,
    )
    start, driven = wired.counts(), 0
    for tick in range(1, 300):
        base, pole = (now - zero for now, zero in zip(wired.counts(), start, strict=True))
        duty = strokes.duty(tick, base, pole)
        driven += duty != 0.0
        wired.set_duty(duty)
        wired.advance(rig.period_s)
        farthest = max(farthest, abs(plant.state()[0]))
    assert strokes.has_run_on and strokes.is_done
    assert driven == 1
    assert farthest < rig.base.limit


@pytest.fixture(scope="module")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the firmware for the rig with limit switches, built once."""
    return tmp_path_factory.mktemp("switched")


def command(easy: Path, out: Path, firmware: Path, **changes: Any) -> TrialCommand:
    """The check on the virtual rig, in lockstep."""
    fields: dict[str, Any] = {
        "policy": easy,
        "rig": str(EASY_RIG),
        "clock": "lockstep",
        "check_wiring": True,
        "out": out,
        "firmware": firmware,
        "report": False,
    }
    return TrialCommand(**{**fields, **changes})


def test_the_file_that_it_writes_is_the_persons_own_with_other_signs_and_runs(
    easy: Path, firmware: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wiring = "motor=reversed,pole=reversed"  # seen from the motor: the base's encoder
    asked = command(easy, tmp_path / "check", firmware, wiring=wiring)
    result = trial(asked)
    assert (result["motor"], result["base_encoder"], result["pole_encoder"]) == (
        *("drives", "reversed", "right"),
    )
    written = Path(result["rig"])
    assert written.read_text() == EASY_RIG.read_text().replace("= 9.0e-5", "= -9.0e-5")
    assert f"--rig {written}" in capsys.readouterr().err
    with pytest.raises(UserError, match="already exists; name another folder"):
        trial(asked)
    balanced = trial(
        replace(
            asked,
            check_wiring=False,
            wiring="",
            rig=str(written),
            out=tmp_path / "trial",
            firmware=None,
            seconds=1.0,
            disturbances=0,
        )
    )
    assert (balanced["ended"], balanced["balanced"]) == ("completed", True)


@pytest.mark.parametrize(
    ("wiring", "message"),
    [
        ("pole=unplugged", "^the pole's encoder counts nothing, or only flickers: check"),
        ("base=unplugged", "^the base's encoder counts nothing, or only flickers: check"),
        ("motor=unplugged", "^nothing moved, or neither encoder counts"),
        ("motor=held", "^the base kept moving with almost no duty: check the driver"),
    ],
)
def test_what_is_miswired_is_said_and_no_file_is_written(
    easy: Path, firmware: Path, tmp_path: Path, wiring: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        trial(command(easy, tmp_path / "check", firmware, wiring=wiring))
    reported = json.loads((tmp_path / "check" / "wiring.json").read_text())["wiring"]
    assert reported["rig"] is None and re.search(message, reported["findings"][-1])
    assert not list((tmp_path / "check").glob("*.toml"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("stuck_bridge", "^the motor drives though the board has turned it off: switch its supply"),
        ("shorted_motor", r"^the board stopped the base: OVER_CURRENT \(check for a short"),
        ("cut_limit_switch", r"^the board stopped the base: LIMIT_SWITCH \(the base is at a limit"),
    ],
)
def test_what_stops_the_board_is_said_by_its_name(
    easy: Path, tmp_path: Path, switched: Path, fault: str, message: str
) -> None:
    """And not taken for a wire: a bridge that was stuck at full duty was once found right."""
    out = tmp_path / "check"
    asked = command(easy, out, switched, rig=str(SWITCHED_RIG), fault=f"{fault}@0")
    with pytest.raises(UserError, match=message):
        trial(asked)
    assert json.loads((out / "wiring.json").read_text())["wiring"]["rig"] is None


def test_a_right_one_needs_no_new_file(easy: Path, firmware: Path, tmp_path: Path) -> None:
    result = trial(command(easy, tmp_path / "check", firmware))
    assert result["rig"] is None
    assert result["findings"] == ["motor and encoders are as the rig file says"]


def test_what_makes_no_sense_is_refused_before_anything_moves(easy: Path, tmp_path: Path) -> None:
    out = tmp_path / "check"
    for changes, message in (
        ({"mode": "pil"}, "which has no motor"),
        ({"wiring": "base=loose"}, "--wiring is 'base=loose'; give motor, base, pole"),
        ({"repeat": 3}, "runs no trial"),
        (
            {"port": "/dev/ttyACM0", "clock": "realtime", "wiring": "base=reversed"},
            "--port virtual",
        ),
    ):
        with pytest.raises(UserError, match=message):
            trial(command(easy, out, tmp_path, **changes))
    assert not out.exists()


class Handled(MiswiredPlant):
    """A rig whose motor is off and whose base a hand pushes when it is asked to; the pole's plug is
    out."""

    def __init__(self, plant: Plant) -> None:
        super().__init__(plant, Wiring(motor="unplugged", pole="unplugged"))
        self.plant = plant
        self.hand_s = 0.0

    def advance(self, duration_s: float) -> None:
        super().advance(duration_s)
        if self.hand_s > 0:
            self.hand_s -= duration_s
            self.plant.data.qpos[0] = 0.01 * np.sin(6.0 * self.hand_s)


def test_a_hand_tells_a_dead_motor_from_a_dead_encoder(
    easy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """On a board of its own, in real time: the firmware behind a pty, a person beside the rig."""
    rig = load_rig(EASY_RIG)
    built = build_firmware(easy, "host", rig.firmware_constants(), tmp_path / "firmware")

    def said(number: int) -> str:
        plant = Plant(rig)
        plant.reset(0)
        plant.hang()
        handled = Handled(plant)

        def asked(drive: Drive, axis: str, ask: str) -> bool:
            if axis == "base":
                handled.hand_s = 2.0
            return is_counting(drive, axis, ask, limit_s=20.0 if axis == "base" else 3.0)

        monkeypatch.setattr(check, "is_counting", asked)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            firmware = subprocess.Popen(
                [built["elf"], "--plant-fd", str(theirs.fileno())],
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=(theirs.fileno(),),
            )
            theirs.close()
            server = threading.Thread(target=serve, args=(handled, ours))
            server.start()
            try:
                assert firmware.stdout is not None
                port = firmware.stdout.readline().split()[1]
                out = tmp_path / f"check{number}"
                with pytest.raises(UserError) as caught:
                    trial(command(easy, out, tmp_path, port=port, clock="realtime"))
            finally:
                firmware.terminate()
                firmware.communicate()
                server.join()
        if LATE.search(str(caught.value)):
            raise caught.value
        return str(caught.value)

    assert re.search("pole's encoder counts nothing.*motor does not", in_real_time(said))
    assert "push the base back and forth a little by hand" in capfd.readouterr().err


@pytest.mark.parametrize("name", rig_names())
def test_only_the_signs_change_in_the_text(name: str, tmp_path: Path) -> None:
    source, once, back = (
        RIGS_FOLDER / f"{name}.toml",
        tmp_path / "once.toml",
        tmp_path / "back.toml",
    )
    rig = write_signs(source, once, True, True)
    assert rig.base.unit_per_count == -load_rig(name).base.unit_per_count
    write_signs(once, back, True, True)
    assert back.read_text() == source.read_text()


def test_a_file_whose_signs_stand_elsewhere_is_not_guessed_at(tmp_path: Path) -> None:
    source = tmp_path / "mine.toml"
    text = EASY_RIG.read_text().replace("unit_per_count = 9.0e-5", "'unit_per_count' = 9.0e-5")
    source.write_text(text)
    with pytest.raises(UserError, match=r"change the sign of \[base\] unit_per_count yourself"):
        write_signs(source, tmp_path / "out.toml", True, False)
    assert not (tmp_path / "out.toml").exists()
