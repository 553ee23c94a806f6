"""A rig whose policies choose among duties: what the C makes of an action, bit for bit."""

from __future__ import annotations

import ctypes
import math
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.firmware_host import build
from sparsectl.firmware_host.boards import find_board
from sparsectl.firmware_host.boards.board import FIRMWARE
from sparsectl.firmware_host.build import build_firmware, check_fit
from sparsectl.firmware_host.config_header import config_header, rig_digest
from sparsectl.firmware_host.policy_folder import read_policy_facts
from sparsectl.policy.choices import Choices
from sparsectl.policy.folder import PolicyFacts
from sparsectl.protocol.wire import Fault
from tests.firmware_host.board_process import BoardProcess, Plant
from tests.firmware_host.core_library import RIG
from tests.firmware_host.small_policy import small_policy
from tests.tools import need

DUTIES = (-0.6, 0.0, 0.1, 0.6)
CHOOSING = replace(RIG, duties=DUTIES)

Duty = Callable[[float], float]


@pytest.fixture(scope="module")
def facts(policy_dir: Path) -> PolicyFacts:
    return read_policy_facts(policy_dir)


@pytest.fixture(scope="module")
def duty(facts: PolicyFacts, tmp_path_factory: pytest.TempPathFactory) -> Duty:
    """The C's map from an action to a duty, with the table of `CHOOSING`."""
    folder = tmp_path_factory.mktemp("choice")
    (folder / "firmware_config.h").write_text(config_header(CHOOSING, facts, find_board("host")))
    source = (
        '#include "choice.h"\nfloat duty(float a);\nfloat duty(float a) { return choice_duty(a); }'
    )
    (folder / "duty.c").write_text(f'#include "choice.h"\n{source}\n')
    need("gcc")
    words = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-shared", "-fPIC"]
    words += [f"-I{FIRMWARE / 'core'}", f"-I{folder}", "-o", "duty.so", "duty.c"]
    subprocess.run(words, cwd=folder, check=True)
    function = ctypes.CDLL(str(folder / "duty.so")).duty
    function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    return lambda action: float(function(action))


@given(action=st.floats(width=32))
@example(action=-0.0)
@example(action=2.0)
@example(action=3.0)
@example(action=4.0)
@example(action=-1.0)
@example(action=256.0)
@example(action=2.0**31)
@example(action=math.inf)
@example(action=math.nan)
@example(action=float(np.nextafter(np.float32(3), np.float32(4))))
def test_an_action_is_the_index_of_a_duty_and_no_number_where_it_is_none(
    duty: Duty, action: float
) -> None:
    found = duty(action)
    if action in range(len(DUTIES)):
        assert np.float32(found) == np.float32(DUTIES[int(action)])
    else:
        assert math.isnan(found)


def test_the_duties_are_in_the_digest_and_a_rig_without_has_the_header_of_before(
    facts: PolicyFacts,
) -> None:
    digests = {rig_digest(rig) for rig in (RIG, CHOOSING, replace(RIG, duties=DUTIES[::-1]))}
    assert len(digests) == 3
    assert "RIG_DUT" not in config_header(RIG, facts, find_board("host"))


def test_the_board_drives_with_what_was_chosen_and_faults_at_the_index_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Choice 2 until the base has gone a few counts, then 3, then one that is none: the board looks
    for itself, whatever the build saw to."""
    monkeypatch.setattr(build, "check_fit", lambda *of: None)
    beyond, more = "observation[20] > 0.01f", "observation[20] > 0.002f"
    policy = small_policy(extra=f"action[0] = {beyond} ? 4.0f : {more} ? 3.0f : 2.0f;")
    rig = replace(RIG, max_duty=0.5, duties=(-0.5, 0.0, 0.3, 0.5))
    out = tmp_path / "firmware"
    elf = build_firmware(policy.write(tmp_path / "policy"), "host", rig, out)["elf"]
    plant = Plant()
    with BoardProcess(Path(elf), "--clock", "lockstep", plant=plant) as board:
        assert board.configure().name == "ACK"
        assert board.ask("HOME").name == "ACK"
        for tick in range(1, 26):
            board.ask("STEP", until_tick=tick)
        assert board.ask("ARM", nonce=board.ask("HELLO")["arm_nonce"]).name == "ACK"
        for tick in range(26, 120):
            board.ask("STEP", until_tick=tick)
    ticks = board.named("TICK")
    driven = [tick for tick in ticks if tick["duty"] != 0.0]
    assert all(tick["duty"] == tick["policy_output"] for tick in driven)
    assert list(dict.fromkeys(tick["duty"] for tick in driven)) == [np.float32(0.3), 0.5]
    fault = next(tick for tick in ticks if tick["fault"])
    assert (fault["fault"], fault["duty"]) == (Fault.NON_FINITE, 0.0)
    assert math.isnan(fault["policy_output"])
    assert plant.requests[-1][1] == 0.0


@pytest.mark.parametrize(
    ("choices", "duties", "complaint"),
    [
        (None, DUTIES, "gives a real number, the rig's motor takes one of 4 duties"),
        (Choices(0, 4), (), "takes one of 4 choices, from 0 on, the rig's motor takes any duty"),
        (Choices(0, 0), (), "takes one of a few choices, the rig's motor takes any duty"),
        (Choices(0, 3), DUTIES, "takes one of 3 choices, from 0 on, the rig's motor has 4 duties"),
        (Choices(1, 4), DUTIES, "takes one of 4 choices, from 1 on, the rig's motor has 4 duties"),
        (
            Choices(0, 4, levels=DUTIES[::-1]),
            DUTIES,
            "was trained to choose among the duties 0.6, 0.1, 0, -0.6, the rig has -0.6, 0, 0.1",
        ),
    ],
)
def test_a_policy_that_does_not_fit_the_motor_is_refused(
    facts: PolicyFacts, choices: Choices | None, duties: tuple[float, ...], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        check_fit(replace(facts, choices=choices), replace(RIG, duties=duties), Path("policy"))


def test_a_policy_that_chooses_so_fits(facts: PolicyFacts) -> None:
    for choices in (Choices(0, 4), Choices(0, 4, levels=DUTIES), Choices(0, 0)):
        check_fit(replace(facts, choices=choices), CHOOSING, Path("policy"))
