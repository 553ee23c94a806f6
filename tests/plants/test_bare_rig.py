"""Rig files without masses: made whole from the middle of the ranges, and what is odd in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparsectl.common.errors import UserError
from sparsectl.plants.bare_rig import Whole, outside_of, whole_rig
from sparsectl.plants.drawing import (
    Ranges,
    draw_rig,
    draw_table,
    feasible,
    figures_of,
    load_ranges,
    rig_text,
)
from sparsectl.plants.rig import RIGS_FOLDER, load_rig, rig_names

CARTPOLE, FURUTA = load_ranges("cartpole"), load_ranges("furuta")
BARE = """
period_s = {period_s}
[base]
unit_per_count = {unit}
limit = {limit}
[pole]
counts_per_turn = {counts}
"""


BARE_ARM = BARE.replace("[pole]", "length_m = {arm_m}\n[pole]")
OF_AN_ARM = {"unit": 1.53398e-3, "limit": 2.0, "arm_m": 0.12}


def bare(folder: Path, text: str = BARE, **changes: Any) -> Path:
    """A file that says what a board must know."""
    numbers = {"period_s": 0.01, "unit": 6e-5, "limit": 0.3, "counts": 2400, **changes}
    path = folder / "mine.toml"
    path.write_text(text.format(**numbers), encoding="utf-8")
    return path


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    period_s=st.sampled_from(CARTPOLE.periods_s),
    limit=st.floats(0.13, 0.45),
    unit=st.sampled_from([-6e-5, 2e-5]),
    counts=st.sampled_from([-8192, 1200, 4096]),
)
def test_a_bare_file_keeps_what_it_says_and_is_whole(
    tmp_path: Path, period_s: float, limit: float, unit: float, counts: int
) -> None:
    path = bare(tmp_path, period_s=period_s, limit=limit, unit=unit, counts=counts)
    whole = whole_rig(path, CARTPOLE)
    rig = whole.rig
    assert (rig.name, rig.period_s, rig.base.limit) == ("mine", period_s, limit)
    assert (rig.base.unit_per_count, rig.pole.counts_per_turn) == (unit, counts)
    assert rig.motor.max_duty == 1.0 and rig.firmware_constants().base_limit == limit
    assert {"[base] mass_kg", "[pole] length_m", "[motor] effort_per_volt"} <= set(whole.guessed)
    assert not outside_of(whole, CARTPOLE)
    written = tmp_path / "whole" / "mine.toml"
    written.parent.mkdir(exist_ok=True)
    written.write_text(whole.text, encoding="utf-8")
    assert load_rig(written) == rig


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    period_s=st.sampled_from(FURUTA.periods_s),
    limit=st.floats(1.3, 3.2),
    arm_m=st.floats(0.08, 0.22),
    counts=st.sampled_from([-8192, 1200, 4096]),
)
def test_a_bare_file_of_an_arm_keeps_what_it_says_and_is_whole(
    tmp_path: Path, period_s: float, limit: float, arm_m: float, counts: int
) -> None:
    path = bare(
        tmp_path,
        BARE_ARM,
        period_s=period_s,
        unit=-2e-3,
        limit=limit,
        arm_m=arm_m,
        counts=counts,
    )
    whole = whole_rig(path, FURUTA)
    rig = whole.rig
    assert rig.is_rotary and (rig.base.limit, rig.lever_m) == (limit, arm_m)
    assert (rig.base.unit_per_count, rig.pole.counts_per_turn) == (-2e-3, counts)
    assert "[base] mass_kg" in whole.guessed and "[base] length_m" not in whole.guessed
    assert not outside_of(whole, FURUTA)


def test_a_file_that_says_more_is_believed(tmp_path: Path) -> None:
    path = bare(tmp_path, BARE + "mass_kg = 0.2\nlength_m = 0.5\n[motor]\nmax_duty = 0.5\n")
    whole = whole_rig(path, CARTPOLE)
    assert (whole.rig.pole.mass_kg, whole.rig.pole.length_m) == (0.2, 0.5)
    assert whole.rig.pole.tip_mass_kg == 0.0  # as in any file that gives the mass alone
    assert "[pole] mass_kg" not in whole.guessed
    assert outside_of(whole, CARTPOLE) == ["[motor] max_duty is 0.5, and there it was always 1"]


@pytest.mark.parametrize("name", rig_names())
def test_a_shipped_rig_stays_as_it_is_and_lies_within(name: str) -> None:
    rig = load_rig(name)
    ranges = FURUTA if rig.is_rotary else CARTPOLE
    whole = whole_rig(RIGS_FOLDER / f"{name}.toml", ranges)
    assert whole.rig == rig and not whole.guessed
    assert not outside_of(whole, ranges)


@pytest.mark.parametrize("ranges", [CARTPOLE, FURUTA], ids=lambda ranges: ranges.name)
def test_drawn_rigs_lie_within(ranges: Ranges, tmp_path: Path) -> None:
    path = tmp_path / "drawn.toml"
    for seed in range(8):
        path.write_text(rig_text(draw_table(ranges.name, seed)), encoding="utf-8")
        whole = whole_rig(path, ranges)
        assert not whole.guessed and not outside_of(whole, ranges)


def test_changed_rigs_do_not(tmp_path: Path) -> None:
    path = tmp_path / "drawn.toml"
    table = draw_table("cartpole", 0)
    table["period_s"], table["base"]["limit"] = 0.05, 3.0
    table["motor"]["effort_per_volt"] /= 30.0
    path.write_text(rig_text(table), encoding="utf-8")
    period, limit, weak, push = outside_of(whole_rig(path, CARTPOLE), CARTPOLE)
    assert period == "period_s is 0.05, outside of 0.01 to 0.02"
    assert limit == "[base] limit is 3, outside of 0.13 to 0.45"
    assert weak.startswith("[motor] effort_per_volt makes 0.") and weak.endswith("of 4.5 to 25")
    assert push.startswith("its motor pushes the pole's hinge with 0.")
    assert not feasible(whole_rig(path, CARTPOLE).rig) and feasible(draw_rig("cartpole", 0))


@pytest.mark.parametrize(
    ("family", "section", "key", "factor", "words"),
    [
        (family, *row)
        for family in ("cartpole", "furuta")
        for row in (
            ("pole", "mass_kg", 20.0, "[pole] mass_kg and tip_mass_kg are "),
            ("motor", "back_emf_v", 0.05, "[motor] back_emf_v lets it turn up to "),
            ("motor", "effort_per_volt", 20.0, "[motor] effort_per_volt makes "),
            ("base", "mass_kg", 30.0, "[base] mass_kg is "),
        )
    ]
    + [
        ("furuta", "base", "length_m", 3.0, "[base] length_m is "),
        ("furuta", "base", "unit_per_count", 9.0, "[base] unit_per_count makes "),
    ],
)
def test_the_number_that_is_outside_is_named(
    tmp_path: Path, family: str, section: str, key: str, factor: float, words: str
) -> None:
    path, table = tmp_path / "drawn.toml", draw_table(family, 1)
    table[section][key] *= factor
    path.write_text(rig_text(table), encoding="utf-8")
    ranges = load_ranges(family)
    named = [text for text in outside_of(whole_rig(path, ranges), ranges) if words in text]
    assert len(named) == 1 and ", outside of " in named[0] and "\n" not in named[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("period_s = [", "is not a rig file"),
        ("[base]\nlimit = 0.3\n", "period_s is missing; give the control period"),
        ("period_s = 0.01\n[base]\nlimit = 0.3\n", "[base] unit_per_count is missing"),
        ("period_s = 0.01\nbase = 3\n", "base is 3; make it a table, [base]"),
        (BARE.replace("{counts}", "0"), "counts_per_turn is 0"),
        (BARE.replace("{limit}", "-0.3"), "[base] limit is -0.3; give a number above 0"),
        (BARE.replace("{limit}", "true"), "[base] limit is True; give a number above 0"),
        (BARE.replace("{period_s}", '"x"'), "period_s is 'x'; give a number above 0"),
        (BARE.replace("{period_s}", "nan"), "period_s is nan; give a number above 0"),
        (BARE + "weight = 3\n", "unknown key 'weight'"),
        ('model = "rotary.xml"\n' + BARE, "drives 'linear.xml' alone"),
        (BARE + '[motor]\nkind = "current"\n', "is missing; add it"),
    ],
)
def test_a_file_that_will_not_do_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = bare(tmp_path, text)
    with pytest.raises(UserError) as caught:
        whole_rig(path, CARTPOLE)
    assert words in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BARE, "[base] length_m is missing; give the length of the arm"),
        (BARE_ARM.replace("limit = {limit}\n", ""), "limit is missing; give the angle to either"),
        (BARE_ARM.replace("{arm_m}", "-1"), "[base] length_m is -1; give a number above 0"),
        ('model = "linear.xml"\n' + BARE, "drives 'rotary.xml' alone; give any-cartpole"),
        ('model = "seesaw.xml"\n' + BARE, "drives 'rotary.xml' alone; train one for this rig"),
    ],
)
def test_a_file_that_will_not_do_for_an_arm_is_refused(
    text: str, words: str, tmp_path: Path
) -> None:
    path = bare(tmp_path, text, **OF_AN_ARM)
    with pytest.raises(UserError) as caught:
        whole_rig(path, FURUTA)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_an_arm_that_its_pole_swings_is_warned_of(tmp_path: Path) -> None:
    path, table = tmp_path / "drawn.toml", draw_table("furuta", 1)
    rig = draw_rig("furuta", 1)
    table["motor"]["effort_per_volt"] *= 0.9 * figures_of(rig).pull
    path.write_text(rig_text(table), encoding="utf-8")
    whole = whole_rig(path, FURUTA)
    assert figures_of(whole.rig).pull > 1.0 and not feasible(whole.rig)
    assert any(
        "of which the swinging pole's pull takes" in text for text in outside_of(whole, FURUTA)
    )


def test_a_whole_rig_names_each_guess_once(tmp_path: Path) -> None:
    whole = whole_rig(bare(tmp_path), CARTPOLE)
    assert isinstance(whole, Whole) and len(set(whole.guessed)) == len(whole.guessed)
