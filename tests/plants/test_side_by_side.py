"""Units side by side beside MuJoCo: equal observations and ends and, to rounding, equal motion."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsectl.plants  # noqa: F401
from sparsectl.plants.drawing import draw_rig, families
from sparsectl.plants.environment import STARTS, PendulumEnv
from sparsectl.plants.motor import CurrentMotor
from sparsectl.plants.plant import Parameters, Plant
from sparsectl.plants.rig import Rig, load_rig, rig_names
from sparsectl.plants.side_by_side import PendulumEpisodes
from sparsectl.plants.units import Units

EPISODES, STEPS = 6, 150


@pytest.mark.parametrize("name", rig_names())
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31 - EPISODES), start=st.sampled_from((*STARTS, "mixed")))
def test_episodes_side_by_side_are_those_of_the_environment(
    name: str, seed: int, start: str
) -> None:
    rig, seeds = load_rig(name), range(seed, seed + EPISODES)
    episodes = PendulumEpisodes([rig] * EPISODES, list(seeds), start=start)
    # A duty that is often 0 lets joints stick, where MuJoCo's solver and the closed form differ.
    random = np.random.default_rng(seed)
    duties = random.uniform(-1, 1, (STEPS, EPISODES)) * random.integers(0, 2, (STEPS, EPISODES))
    if rig.motor.duties:
        duties = np.sign(duties)
    steps = [episodes.step(each) for each in duties]
    for i, number in enumerate(seeds):
        env = cast(PendulumEnv, gymnasium.make(f"sparsectl/{name}-v0", start=start).unwrapped)
        env.reset(seed=number)
        for step, duty in zip(steps, duties[:, i], strict=True):
            action = rig.motor.duties.index(duty) if rig.motor.duties else np.array([duty])
            observation, reward, terminated, truncated, info = env.step(action)
            np.testing.assert_allclose(step.observations[i], observation, rtol=1e-5, atol=1e-5)
            assert step.rewards[i] == pytest.approx(reward, abs=1e-5)
            assert (step.terminated[i], step.truncated[i]) == (terminated, truncated)
            if terminated:
                assert episodes.is_over[i] and episodes.success[i] == info["is_success"]
                break
        else:
            assert not episodes.is_over[i]


def with_current_drive(rig: Rig) -> Rig:
    """The same behind a drive that controls the current, strong enough to swing it up."""
    motor = CurrentMotor(
        supply_v=12.0,
        effort_per_amp=rig.motor.full_effort / 2.0,
        max_current_a=2.0,
        resistance_ohm=2.0,
        back_emf_v=rig.motor.damping,
        max_duty=0.9,
        dead_zone_a=0.05,
    )
    return replace(rig, motor=motor)


def test_neighbours_may_be_of_other_rigs_and_motors_and_do_not_matter() -> None:
    """The closed form beside MuJoCo solved to its last bit: within rounding after a second."""
    rigs = [load_rig(name) for name in rig_names()]
    rigs += [with_current_drive(rig) for rig in rigs]
    rigs += [draw_rig(family, seed) for family in families() for seed in range(3)]
    parameters = [
        Parameters(viscous_friction_factor=1.3, coulomb_friction_factor=5.0, supply_factor=0.9)
    ] * len(rigs)
    states = [((0.01 * i, 1.0 + i), (0.1, -0.4 * i)) for i in range(len(rigs))]
    random = np.random.default_rng(0)
    units, alone = Units(rigs, parameters, states), []
    plants = []
    for rig, state in zip(rigs, states, strict=True):
        plant = Plant(rig)
        plant.model.opt.tolerance, plant.model.opt.iterations = 0.0, 100
        plant._set_parameters(parameters[0])
        plant.data.qpos[:], plant.data.qvel[:] = state
        plants.append(plant)
        alone.append(Units([rig], parameters[:1], [state]))
    for _ in range(50):
        duty = random.uniform(-1, 1, len(rigs)) * random.integers(0, 2)
        delay_s, rest_s = random.uniform(0.0, 0.02, (2, len(rigs)))
        units.advance(delay_s, rest_s, duty)
        for i, plant in enumerate(plants):
            plant.advance(delay_s[i])
            plant.set_duty(duty[i])
            plant.advance(rest_s[i])
            alone[i].advance(delay_s[i : i + 1], rest_s[i : i + 1], duty[i : i + 1])
    motion = units.motion
    together = np.stack([motion.position, motion.angle, motion.velocity, motion.pole_velocity])
    mujoco = np.array([[*plant.data.qpos, *plant.data.qvel] for plant in plants]).T
    np.testing.assert_allclose(together, mujoco, rtol=1e-9, atol=1e-9)
    lone = [[one.motion.position[0], one.motion.pole_velocity[0]] for one in alone]
    np.testing.assert_array_equal(together[[0, 3]], np.array(lone).T)
    counts = np.array([plant.counts() for plant in plants]).T
    np.testing.assert_array_equal(np.array(units.counts()), counts)


def test_an_episode_that_is_over_stays_as_it_is() -> None:
    rig = load_rig("sensorsini_cartpole")
    episodes = PendulumEpisodes([rig] * 2, [0, 1], randomised=False)
    duties = np.array([1.0, 0.0])
    while not episodes.is_over[0]:
        episodes.step(duties)
    at = episodes.units.motion.position[0]
    for _ in range(3):
        steps = episodes.step(duties)
    assert episodes.units.motion.position[0] == at and not steps.terminated[0]
    assert not episodes.is_over[1]
