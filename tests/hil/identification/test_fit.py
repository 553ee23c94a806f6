"""A unit's hidden numbers are found again, from what its encoders and its motor's duty show."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.hil.identification.fit import Fit, fit
from sparsectl.hil.identification.rig_file import counts_per_turn, rig_toml
from sparsectl.hil.identification.unknowns import UNKNOWNS, key, of_unit, start
from sparsectl.hil.identification.windows import TICKS, cut
from sparsectl.hil.journal.trace import Sample
from sparsectl.plants.plant import Plant
from sparsectl.plants.rig import load_rig
from sparsectl.protocol.wire import State


def shaken(rig_name: str, seed: int, ticks: int = 650) -> tuple[Plant, list[Sample]]:
    """A unit drawn from the rig's ranges, its motor driven by slow and fast swings of the duty."""
    rig = load_rig(rig_name)
    plant = Plant(rig)
    plant.reset(seed, randomised=True)
    delay_s = rig.period_s * plant.parameters.transport_delay_periods
    rng, samples = np.random.default_rng(seed), []
    phases = rng.uniform(0, 2 * math.pi, 3)
    for tick in range(ticks):
        time_s = tick * rig.period_s
        base, pole = plant.counts()
        centring = -base * rig.base.unit_per_count / rig.base.limit
        waves = sum(
            math.sin(rate * time_s + phase)
            for rate, phase in zip((5.1, 3.3, 9.7), phases, strict=True)
        )
        duty = float(np.clip(0.45 * waves + centring, -1, 1))
        samples.append(
            Sample(
                tick=tick,
                time_us=round(time_s * 1e6),
                host_ns=0,
                base_count=base,
                pole_count=pole,
                duty=duty,
                policy_output=duty,
                inference_ns=0,
                actuation_us=0,
                lateness_us=0,
                state=int(State.ACTIVE),
                fault=0,
                skipped=0,
            )
        )
        plant.advance(delay_s)
        plant.set_duty(duty)
        plant.advance(rig.period_s - delay_s)
    return plant, samples


@pytest.fixture(scope="module", params=[("sensorsini_cartpole", 1), ("qube_servo2", 2)])
def found(request: pytest.FixtureRequest) -> tuple[Plant, Fit]:
    plant, samples = shaken(*request.param)
    return plant, fit(cut(samples), start(plant.rig))


def test_hidden_numbers_lie_in_their_intervals(found: tuple[Plant, Fit]) -> None:
    plant, result = found
    truth = of_unit(plant.rig, plant.parameters).values
    rows = zip(UNKNOWNS, truth, result.low, result.high, strict=True)
    outside = [key(unknown) for unknown, true, low, high in rows if not low <= true <= high]
    assert len(outside) <= 2, outside  # twelve intervals of 95 %


def test_what_matters_is_found_closely(found: tuple[Plant, Fit]) -> None:
    plant, result = found
    truth = of_unit(plant.rig, plant.parameters).values
    at = {key(unknown): index for index, unknown in enumerate(UNKNOWNS)}
    assert result.converged
    assert result.guess.values[0] == pytest.approx(truth[0], abs=0.05)  # of a period
    for name in ("pole.length_m", "motor.effort_per_volt", "base.mass_kg"):
        assert result.guess.values[at[name]] == pytest.approx(truth[at[name]], rel=0.05), name


def test_quantisation_is_all_that_is_left(found: tuple[Plant, Fit]) -> None:
    for residual in found[1].residual_counts:
        assert residual == pytest.approx(1 / math.sqrt(12), rel=0.2)


def test_what_is_no_rig_is_refused_in_place_of_a_file_that_nobody_can_read(
    found: tuple[Plant, Fit],
) -> None:
    """A wrong length in the file can make the fit's masses negative."""
    result = found[1]
    at = [key(unknown) for unknown in UNKNOWNS].index("base.mass_kg")
    values = [*result.guess.values]
    values[at] = -0.007
    wrong = replace(result, guess=replace(result.guess, values=tuple(values)))
    with pytest.raises(UserError) as caught:
        rig_toml(wrong, "journal.bin")
    said = str(caught.value)
    assert said.startswith(f"journal.bin fit no pendulum near {result.guess.rig().name}'s file (")
    assert "([base] mass_kg is -0.007; it must be above 0); measure" in said and "\n" not in said


def test_a_friction_that_hardly_shows_is_no_less_than_none(found: tuple[Plant, Fit]) -> None:
    _, fit = found
    low, place = (
        list(fit.low),
        [key(unknown) for unknown in UNKNOWNS].index("base.viscous_friction"),
    )
    low[place] = -0.3 * fit.guess.values[place]
    text = rig_toml(replace(fit, low=tuple(low)), "a trial")
    assert tomllib.loads(text)["randomisation"]["viscous_friction_factor"][0] == 0


def test_the_rig_file_holds_what_was_found(
    found: tuple[Plant, Fit], tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, result = found
    path = tmp_path_factory.mktemp("rig") / "mine.toml"
    path.write_text(rig_toml(result, "journal.bin"), encoding="utf-8")
    rig, wanted = load_rig(path), result.guess.rig()
    assert rig.pole.length_m == pytest.approx(wanted.pole.length_m, rel=1e-6)
    assert rig.base.coulomb_friction == pytest.approx(wanted.base.coulomb_friction, rel=1e-6)
    low, high = rig.randomisation.transport_delay_periods
    assert 0 <= low <= result.guess.values[0] <= high <= 1
    assert rig.randomisation.base_mass_factor[0] <= 0.95
    assert rig.randomisation.base_mass_factor[1] >= 1.05


def test_windows_are_unbroken_and_move() -> None:
    _, samples = shaken("sensorsini_cartpole", 3)
    del samples[400]
    windows = cut(samples)
    assert all(len(window.counts) == TICKS for window in windows)
    assert all(np.allclose(np.diff(window.time_s), 0.02) for window in windows)


def test_too_little_motion_is_refused() -> None:
    _, samples = shaken("sensorsini_cartpole", 4, ticks=200)
    with pytest.raises(UserError, match="12 are needed; run a longer trial"):
        cut(samples)


GEARED = 600 * 22 / 7


@pytest.mark.parametrize(
    ("said", "found", "reach", "written"),
    [
        (2400, 2399.4, 0.4, 2400),  # a data sheet is exact, a fit is not
        (GEARED, 1885.9, 0.4, GEARED),
        (GEARED, 1886.6, 0.1, GEARED),
        (600, 2400.2, 0.4, 2400),  # lines for counts
        (600, 1885.7, 0.2, 1885.7),  # a gear that the file forgot: no whole number fits
        (600, 2000.0, 2000.0, 600),  # a journal that tells nothing
        (-600, -2399.8, 0.4, -2400),
    ],
)
def test_counts_of_the_file_stand_unless_the_journal_contradicts_them(
    said: float, found: float, reach: float, written: float
) -> None:
    rig = load_rig("sensorsini_cartpole")
    guess = start(replace(rig, pole=replace(rig.pole, counts_per_turn=said)))
    values = list(guess.values)
    at = [key(unknown) for unknown in UNKNOWNS].index("pole.counts_per_turn")
    values[at] = found
    low, high = list(values), list(values)
    low[at], high[at] = found - reach, found + reach
    result = Fit(
        replace(guess, values=tuple(values)), tuple(low), tuple(high), (0.3, 0.3), 12, 5, True
    )
    assert counts_per_turn(result) == written
    assert tomllib.loads(rig_toml(result, "journal.bin"))["pole"]["counts_per_turn"] == written
