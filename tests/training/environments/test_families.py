"""Games that packages of their own bring, by the same names as any environment."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from sparsectl.common.errors import UserError
from sparsectl.policy.signals_json import image_of
from sparsectl.training.environments.environments import make_environment
from sparsectl.training.environments.signals import environment_signals, standardised

PLANES = {"Asterix": 4, "Breakout": 4, "Freeway": 7, "Seaquest": 10, "SpaceInvaders": 6}


@pytest.mark.parametrize(("game", "planes"), PLANES.items())
def test_minatars_images_come_pixel_by_pixel(game: str, planes: int) -> None:
    env = make_environment(f"MinAtar/{game}-v1")
    signals = environment_signals(env)
    assert image_of(signals) == (10, 10, planes)
    assert [entry["name"] for entry in signals["observation"][:2]] == ["o_0_0_0", "o_0_0_1"]
    observation, _ = env.reset(seed=1)
    inner: Any = env.unwrapped
    assert observation.dtype == np.float32 and set(np.unique(observation)) <= {0.0, 1.0}
    np.testing.assert_array_equal(observation.reshape(10, 10, planes), inner.game.state())
    assert standardised(signals, observation[None]) is signals


@pytest.mark.parametrize(("kwargs", "most"), [({}, 10_000), ({"max_episode_steps": 30}, 30)])
def test_a_submarine_that_stays_at_the_surface_does_not_play_for_ever(
    kwargs: dict[str, Any], most: int
) -> None:
    env = make_environment("MinAtar/Seaquest-v1", kwargs)
    env.reset(seed=0)
    for step in range(1, most + 1):
        _, reward, terminated, truncated, _ = env.step(0)
        assert reward == 0 and not terminated and truncated == (step == most)


def test_atari_is_seen_as_dqn_sees_it() -> None:
    env = make_environment('{"id": "ALE/Breakout-v5", "kwargs": {"screen_size": 20}}')
    assert image_of(environment_signals(env)) == (20, 20, 4)
    first, _ = env.reset(seed=1)
    later = [env.step(np.float32([1]))[0].reshape(20, 20, 4) for _ in range(5)]
    assert 0 < first.max() <= 1
    np.testing.assert_array_equal(later[-1][..., :3], later[-2][..., 1:])  # the newest frame last


def test_ataris_memory_is_a_vector() -> None:
    env = make_environment('{"id": "ALE/Pong-v5", "kwargs": {"obs_type": "ram"}}')
    signals = environment_signals(env)
    assert len(signals["observation"]) == 128 and image_of(signals) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MinAtar/Pong-v1", "MinAtar has no game MinAtar/Pong-v1; use one of MinAtar/Asterix-v1"),
        ("ALE/Nothing-v5", "ALE has no game ALE/Nothing-v5; use one of ALE/Adventure-v5"),
    ],
)
def test_an_unknown_game_is_one_line(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        make_environment(name)
    assert "\n" not in str(caught.value)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name="minatar")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"minatar is not installed; pip install 'sparsectl\[min"):
        make_environment("MinAtar/Breakout-v1")
