"""docs/first-motion.md: its commands are commands, its pins the boards', its rig lines rigs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sparsectl.cli import parse
from sparsectl.firmware_host.boards.microcontroller import PORTS
from sparsectl.plants.motor import CurrentMotor
from sparsectl.plants.plant import Plant
from sparsectl.plants.rig import load_rig
from tests.export.packaging.arduino_build import CPP, need_arduino, run

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "first-motion.md").read_text(encoding="utf-8")
RIGS = (DOCS / "rigs.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (sparsectl .*)$|`(sparsectl \w+ [^`]+)`", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", sorted({one or other for one, other in COMMANDS}))
def test_every_command_is_one(line: str) -> None:
    parse(shlex.split(line)[1:])


def pins(title: str) -> dict[str, list[str]]:
    """The rows of the table of pins under a heading: what, and the cells beside it."""
    section = PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    table = section[section.index("| what |") :].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]
    return {what: cells for what, *cells in rows}


@pytest.mark.parametrize(("column", "board"), [(0, "arduino-uno"), (1, "arduino-mega2560")])
def test_the_arduinos_pins_are_those_of_their_boards(column: int, board: str) -> None:
    config = (PORTS / board / "board_config.h").read_text()
    rows = {what: cells[column] for what, cells in pins("An Arduino and a DC motor").items()}
    base, pole = rows["base encoder A, B"].split(", "), rows["pole encoder A, B"].split(", ")
    assert re.search(rf"base encoder +pin {base[0]} is A, pin {base[1]} is B", config)
    assert re.search(rf"pole encoder +pin {pole[0]} is A, pin {pole[1]} is B", config)
    direction, opposite = rows["direction; its opposite"].split("; ")
    assert re.search(rf"pin {rows['PWM, 20 kHz']} is PWM at 20 kHz", config)
    assert re.search(rf"pin {direction} is direction", config)
    assert re.search(rf"pin {opposite} its opposite", config)
    [enable] = [cell for what, cell in rows.items() if what.startswith("enable")]
    assert re.search(rf"pin {enable} enable", config)
    assert re.search(rf"limit switch +pin {rows['limit switches']} ", config)


def test_the_nucleos_pins_are_those_of_its_board() -> None:
    config = (PORTS / "nucleo-f446re" / "board_config.h").read_text()
    defined = {
        name: f"P{port}{number}"
        for name, port, number in re.findall(r"#define (\w+) GPIO(\w), (\d+)", config)
    }
    rows = {what: cells[0] for what, cells in pins("A rotary pendulum on a Nucleo").items()}
    assert rows == {
        "arm encoder A, B": f"{defined['BASE_A']}, {defined['BASE_B']}",
        "pole encoder A, B": f"{defined['POLE_A']}, {defined['POLE_B']}",
        "PWM, 20 kHz": defined["MOTOR_PWM"],
        "direction; its opposite": f"{defined['MOTOR_DIRECTION']}; {defined['MOTOR_OPPOSITE']}",
        "enable": defined["MOTOR_ENABLE"],
        "limit switches": defined["LIMIT_SWITCH"],
    }
    for what, cells in pins("A rotary pendulum on a Nucleo").items():
        for pin, header in zip(*(re.split(", |; ", cell) for cell in cells), strict=True):
            assert f"{pin} ({header})" in config, what


def test_its_lines_of_a_rig_file_go_into_the_rig_of_the_other_page(tmp_path: Path) -> None:
    rig = re.findall(r"```toml\n(.*?)```", RIGS, re.DOTALL)[2]  # the whole one
    switch, motor = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    rig = re.sub(r"(?m)^(limit = .*)$", lambda match: f"{match.group(1)}\n{switch}", rig, count=1)
    rig = re.sub(r"\[motor\].*?(?=\[start\])", lambda match: motor + "\n", rig, flags=re.DOTALL)
    path = tmp_path / "my_rig.toml"
    path.write_text(rig, encoding="utf-8")
    loaded = load_rig(path)
    assert isinstance(loaded.motor, CurrentMotor) and loaded.firmware_constants().limit_switches
    plant = Plant(loaded)
    plant.reset(0)
    plant.set_duty(1.0)
    plant.advance(0.2)
    assert plant.state()[0] > 0.01


def test_simplefocs_sketch_compiles_against_the_librarys_declarations(tmp_path: Path) -> None:
    need_arduino()
    [sketch] = re.findall(r"```cpp\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "drive.cpp"
    path.write_text(sketch, encoding="utf-8")
    declared = Path(__file__).parent / "firmware_host" / "simplefoc"
    strict = [word for word in CPP if word not in ("-w", "-fpermissive")]
    run([*strict, "-Wall", "-Wextra", "-Werror", f"-I{declared}", "-fsyntax-only", str(path)])
