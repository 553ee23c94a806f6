"""The environments: Gymnasium's own check, then what our task promises."""

from __future__ import annotations

import math
import warnings
from typing import cast

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsectl.plants  # noqa: F401
from sparsectl.common.errors import UserError
from sparsectl.plants.environment import EPISODE_STEPS, Action, PendulumEnv
from sparsectl.plants.observation import Observer
from sparsectl.plants.rig import load_rig, rig_names

RIGS = rig_names()


def make(name: str, **kwargs: object) -> PendulumEnv:
    return cast(PendulumEnv, gymnasium.make(f"sparsectl/{name}-v0", **kwargs).unwrapped)


def asking(env: PendulumEnv, duty: float) -> Action:
    """The action that asks for this duty, or for the nearest that there is to choose."""
    duties = env.rig.motor.duties
    if not duties:
        return np.array([duty], np.float32)
    return int(np.argmin(np.abs(np.subtract(duties, duty))))


@pytest.mark.parametrize("name", RIGS)
def test_gymnasiums_check_passes(name: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*infinity.*")  # velocities have no bound
        check_env(make(name), skip_render_check=True)


@pytest.mark.parametrize("name", RIGS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), duties=st.lists(st.floats(-1, 1), min_size=1, max_size=20))
def test_rewards_are_within_0_and_1_and_observations_finite(
    name: str, seed: int, duties: list[float]
) -> None:
    env = make(name, start="uniform")
    env.reset(seed=seed)
    for duty in duties:
        observation, reward, _, _, _ = env.step(asking(env, duty))
        assert 0.0 <= reward <= 1.0
        assert np.isfinite(observation).all()


@pytest.mark.parametrize("name", RIGS)
def test_upright_at_rest_in_the_middle_is_worth_almost_1(name: str) -> None:
    env = make(name, randomised=False)
    env.reset(seed=0)
    env.plant.data.qpos[:] = 0.0
    env.plant.data.qvel[:] = 0.0
    assert env.step(asking(env, 0.0))[1] > 0.99


@pytest.mark.parametrize("name", RIGS)
def test_a_reset_may_ask_for_another_start(name: str) -> None:
    env = make(name)
    angles = {}
    for start in env.metadata["starts"]:
        ends = []
        for seed in range(20):
            env.reset(seed=seed, options={"start": start})
            ends.append(abs(env.plant.state()[2]))
        angles[start] = ends
    assert min(angles["hanging"]) > 2.5 and max(angles["upright"]) < 0.35
    assert min(angles["uniform"]) < 1 and max(angles["uniform"]) > 2
    env.reset(seed=0)
    assert abs(env.plant.state()[2]) > 2.5  # of that one episode alone
    with pytest.raises(UserError, match="start is 'flying'"):
        env.reset(options={"start": "flying"})


@pytest.mark.parametrize("name", RIGS)
def test_hanging_is_worth_almost_nothing_and_no_success(name: str) -> None:
    env = make(name)
    env.reset(seed=0)
    rewards, truncated = [], False
    while not truncated:
        _, reward, terminated, truncated, info = env.step(asking(env, 0.0))
        assert not terminated
        rewards.append(reward)
    assert len(rewards) == EPISODE_STEPS
    assert max(rewards) < 0.02
    assert not info["is_success"]


@pytest.mark.parametrize("name", RIGS)
def test_the_episode_ends_at_the_limit(name: str) -> None:
    env = make(name)
    env.reset(seed=0)
    terminated = truncated = False
    while not (terminated or truncated):
        _, _, terminated, truncated, info = env.step(asking(env, 1.0))
    assert terminated and not truncated
    assert abs(env.plant.state()[0]) >= env.rig.base.limit
    assert not info["is_success"]


@pytest.mark.parametrize("name", RIGS)
def test_a_command_waits_for_the_transport_delay(name: str) -> None:
    """With a delay of a whole period the first command moves nothing within its own period."""
    env = make(name, randomised=False)
    env.reset(seed=0)
    object.__setattr__(env.plant.parameters, "transport_delay_periods", 1.0)
    env.plant.data.qpos[:] = 0.0, math.pi
    env.plant.data.qvel[:] = 0.0
    env.step(asking(env, 1.0))
    assert env.plant.state()[1] == pytest.approx(0.0, abs=1e-9)
    env.step(asking(env, 1.0))
    assert env.plant.state()[1] > 0.01


def test_a_choice_drives_as_its_duty_does_and_nothing_else_is_taken() -> None:
    choosing, driven = (make(name) for name in ("sensorsini_bang_bang", "sensorsini_cartpole"))
    assert choosing.action_space == gymnasium.spaces.Discrete(3)
    for env in (choosing, driven):
        env.reset(seed=3)
    for choice in (0, 2, 1, 2, 2, 0, np.int64(1)):
        duty = choosing.rig.motor.duties[choice]
        one, other = choosing.step(choice), driven.step(np.array([duty]))
        assert np.array_equal(one[0], other[0]) and one[1] == other[1]
    for wrong in (3, -1, 0.5, math.nan):
        with pytest.raises(UserError, match="rig sensorsini_bang_bang has duties"):
            choosing.step(wrong)  # type: ignore[arg-type]


def test_observations_are_stacked_oldest_first_and_velocities_are_differences() -> None:
    rig = load_rig("qube_servo2")
    observer = Observer(rig)
    first = observer.reset((10, 20)).reshape(rig.frames, 5)
    assert (first == first[0]).all()
    assert first[0, 1] == 0.0 and first[0, 4] == 0.0
    second = observer.observe((13, 16)).reshape(rig.frames, 5)
    assert (second[:-1] == first[0]).all()
    unit = rig.base.unit_per_count
    angle = math.pi + 16 * rig.pole_rad_per_count
    expected = [
        13 * unit,
        3 * unit / rig.period_s,
        math.sin(angle),
        math.cos(angle),
        -4 * rig.pole_rad_per_count / rig.period_s,
    ]
    assert second[-1] == pytest.approx(expected, rel=1e-6)
