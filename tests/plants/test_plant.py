"""The plant against the physics that it stands for."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.plants.motor import CurrentMotor, Motor
from sparsectl.plants.observation import Observer
from sparsectl.plants.plant import Parameters, Plant, draw_parameters, wrap_angle
from sparsectl.plants.rig import Rig, load_rig, rig_names

RIGS = rig_names()


def voltage(rig: Rig) -> Motor:
    """The motor of a shipped rig, all of which are DC motors behind a bridge."""
    assert isinstance(rig.motor, Motor)
    return rig.motor


def quiet(rig: Rig) -> Rig:
    """The rig with a still start, no friction and no back-EMF."""
    return dataclasses.replace(
        rig,
        base=dataclasses.replace(rig.base, viscous_friction=0.0, coulomb_friction=0.0),
        pole=dataclasses.replace(rig.pole, viscous_friction=0.0, coulomb_friction=0.0),
        motor=dataclasses.replace(voltage(rig), back_emf_v=0.0),
        start=dataclasses.replace(rig.start, base=0.0, pole_rad=0.0, pole_velocity=0.0),
    )


@pytest.mark.parametrize("tip_mass_kg", [0.0, 0.02, 0.5])
@pytest.mark.parametrize("name", RIGS)
def test_small_swings_have_the_period_of_a_rod_with_a_tip(name: str, tip_mass_kg: float) -> None:
    """A rod m with a tip t on a fixed hinge swings with 2π √((m/3 + t) L / ((m/2 + t) g))."""
    rig = quiet(load_rig(name))
    plant = Plant(replace(rig, pole=replace(rig.pole, tip_mass_kg=tip_mass_kg)))
    plant.reset(0)
    plant._set_parameters(Parameters(base_mass_factor=1e6))  # as good as a fixed hinge
    plant.data.qpos[1] = math.pi + 0.05
    crossings, before = [], plant.data.qpos[1] - math.pi
    while len(crossings) < 3:
        plant.advance(0.0005)
        now = plant.data.qpos[1] - math.pi
        if before < 0 <= now:
            crossings.append(plant.time_s)
        before = now
    rod_kg, length_m = rig.pole.mass_kg, rig.pole.length_m
    pull = (rod_kg / 2 + tip_mass_kg) * 9.81
    expected_s = 2 * math.pi * math.sqrt((rod_kg / 3 + tip_mass_kg) * length_m / pull)
    assert crossings[2] - crossings[1] == pytest.approx(expected_s, rel=2e-3)


@pytest.mark.parametrize("name", RIGS)
def test_the_rotor_takes_its_part_of_the_motors_push(name: str) -> None:
    """The base is pushed from rest, the pole as good as gone: a = effort / (inertia + rotor's)."""
    rig = quiet(load_rig(name))
    own = rig.base.mass_kg * (rig.base.length_m**2 / 3 if rig.is_rotary else 1.0)
    rig = replace(rig, base=replace(rig.base, rotor_inertia=3 * own))
    plant = Plant(rig)
    plant.reset(0)
    plant._set_parameters(Parameters(pole_mass_factor=1e-6))
    plant.set_duty(0.5)
    plant.advance(1e-4)
    effort = voltage(rig).effort_per_volt * (0.5 * rig.motor.supply_v - voltage(rig).dead_zone_v)
    assert plant.state()[1] == pytest.approx(effort / (4 * own) * 1e-4, rel=1e-3)


@pytest.mark.parametrize("name", RIGS)
@pytest.mark.parametrize(("base", "pole"), [(-1, 1), (1, -1), (-1, -1)])
def test_an_encoder_that_counts_backwards_counts_the_same_motion(
    name: str, base: int, pole: int
) -> None:
    rig = load_rig(name)
    mirrored = replace(
        rig,
        base=replace(rig.base, unit_per_count=base * rig.base.unit_per_count),
        pole=replace(rig.pole, counts_per_turn=pole * rig.pole.counts_per_turn),
    )
    plants, observers = (Plant(rig), Plant(mirrored)), (Observer(rig), Observer(mirrored))
    for plant, observer in zip(plants, observers, strict=True):
        plant.reset(5)
        observer.reset(plant.counts())
    for _ in range(40):
        seen = []
        for plant, observer in zip(plants, observers, strict=True):
            plant.set_duty(0.6)
            plant.advance(rig.period_s)
            seen.append(observer.observe(plant.counts()))
        (base_count, pole_count), (their_base, their_pole) = (plant.counts() for plant in plants)
        assert abs(base * base_count - their_base) <= 1 and abs(pole * pole_count - their_pole) <= 1
        two_counts = 2.0 * max(rig.base.unit_per_count, rig.pole_rad_per_count) / rig.period_s
        assert np.allclose(*seen, atol=1.01 * two_counts)


@pytest.mark.parametrize("name", RIGS)
def test_without_friction_a_swing_keeps_its_energy(name: str) -> None:
    plant = Plant(quiet(load_rig(name)))
    plant.reset(0)
    plant._set_parameters(Parameters(base_mass_factor=1e6))
    plant.data.qpos[1] = math.pi / 2
    highest = 0.0
    for _ in range(2000):
        plant.advance(0.002)
        highest = max(highest, abs(wrap_angle(plant.data.qpos[1] - math.pi)))
    assert highest == pytest.approx(math.pi / 2, abs=0.01)


def test_the_cart_reaches_the_speed_at_which_friction_and_motor_balance() -> None:
    rig = load_rig("sensorsini_cartpole")
    plant = Plant(rig)
    plant.reset(0)
    plant._set_parameters(Parameters(pole_mass_factor=1e-6))
    plant.set_duty(1.0)
    plant.advance(3.0)
    motor = voltage(rig)
    force_n = motor.effort_per_volt * (motor.supply_v - motor.dead_zone_v)
    damping = rig.base.viscous_friction + motor.effort_per_volt * motor.back_emf_v
    expected = (force_n - rig.base.coulomb_friction) / damping
    assert plant.state()[1] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("name", RIGS)
def test_a_duty_inside_the_dead_zone_moves_nothing(name: str) -> None:
    rig = load_rig(name)
    rig = dataclasses.replace(rig, start=quiet(rig).start)
    plant = Plant(rig)
    plant.reset(0)
    plant.set_duty(0.9 * voltage(rig).dead_zone_v / rig.motor.supply_v)
    plant.advance(0.5)
    assert plant.state()[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", RIGS)
def test_the_supply_limits_what_a_duty_can_do(name: str) -> None:
    plant = Plant(load_rig(name))
    plant.reset(0)
    plant.set_duty(1.0)
    at_full = plant.data.ctrl[0]
    plant.set_duty(50.0)
    assert plant.data.ctrl[0] == at_full


@pytest.mark.parametrize("name", RIGS)
def test_one_turn_of_the_pole_is_the_encoders_turn(name: str) -> None:
    plant = Plant(load_rig(name))
    plant.reset(3)
    before = plant.counts()[1]
    plant.data.qpos[1] += 2 * math.pi
    assert plant.counts()[1] - before == plant.rig.pole.counts_per_turn


@pytest.mark.parametrize("name", RIGS)
@settings(max_examples=30, deadline=None)
@given(duties=st.lists(st.floats(-1, 1), min_size=1, max_size=10), seed=st.integers(0, 2**32 - 1))
def test_the_same_seed_and_duties_give_the_same_counts(
    name: str, duties: list[float], seed: int
) -> None:
    def run() -> list[tuple[int, int]]:
        plant = Plant(load_rig(name))
        plant.reset(seed, randomised=True, start="uniform")
        seen = []
        for duty in duties:
            plant.set_duty(duty)
            plant.advance(0.0137)
            seen.append(plant.counts())
        return seen

    assert run() == run()


@pytest.mark.parametrize("name", RIGS)
def test_drawn_parameters_stay_within_the_rigs_ranges_and_differ(name: str) -> None:
    rig = load_rig(name)
    draws = [draw_parameters(rig, np.random.default_rng(seed)) for seed in range(50)]
    for field in dataclasses.fields(Parameters):
        low, high = getattr(rig.randomisation, field.name)
        values = [getattr(draw, field.name) for draw in draws]
        assert low <= min(values) < max(values) <= high, field.name


def brushless(name: str) -> tuple[Rig, CurrentMotor]:
    """A rig without friction whose motor's current is controlled, as strong at rest as its own."""
    rig = load_rig(name)
    own = voltage(rig)
    motor = CurrentMotor(
        supply_v=own.supply_v,
        effort_per_amp=own.full_effort / 4.0,
        max_current_a=4.0,
        resistance_ohm=0.5,
        back_emf_v=own.back_emf_v,
        max_duty=1.0,
    )
    return replace(quiet(rig), motor=motor), motor


@pytest.mark.parametrize("name", RIGS)
def test_a_current_is_what_is_asked_for_until_the_supply_ends(name: str) -> None:
    _, motor = brushless(name)
    fastest, half = motor.supply_v / motor.back_emf_v, motor.full_effort / 2
    assert motor.effort(0.5, 0.0, 1.0, 1.0) == pytest.approx(half)
    assert motor.effort(0.5, 0.5 * fastest, 1.0, 1.0) == pytest.approx(half)
    assert motor.effort(0.5, 1.001 * fastest, 1.0, 1.0) < 0.0  # the supply does not reach so far
    assert motor.effort(9.0, 0.0, 1.0, 1.0) == motor.effort(1.0, 0.0, 1.0, 1.0)
    sagging = motor.resistance_ohm * motor.max_current_a / motor.supply_v
    assert motor.effort(1.0, 0.0, sagging / 2, 1.0) == pytest.approx(half)


@pytest.mark.parametrize("name", RIGS)
def test_a_current_motor_speeds_up_evenly_and_no_further_than_its_supply(name: str) -> None:
    rig, motor = brushless(name)
    plant = Plant(rig)
    plant.reset(0)
    plant._set_parameters(Parameters(pole_mass_factor=1e-6))
    plant.set_duty(0.5)
    plant.advance(0.005)
    first = plant.state()[1]
    plant.advance(0.005)
    assert plant.state()[1] == pytest.approx(2 * first, rel=1e-3)
    assert plant.current_a() == pytest.approx(2.0)
    plant.advance(20.0)
    assert plant.state()[1] == pytest.approx(motor.supply_v / motor.back_emf_v, rel=0.02)
    assert abs(plant.current_a()) < 0.1
