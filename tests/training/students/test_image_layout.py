"""Images with their channels first are not convolved over as if those were rows."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from hypothesis import assume, given
from hypothesis import strategies as st
from stable_baselines3.common.preprocessing import is_image_space_channels_first

from sparsectl.common.errors import UserError
from sparsectl.training.environments.families import ChannelsLast
from sparsectl.training.environments.flat_observation import FlatObservation
from sparsectl.training.environments.image_layout import WRAPPER
from sparsectl.training.environments.signals import environment_signals
from sparsectl.training.students.images import convolution_of
from sparsectl.training.teachers.image_network import kernels_of

SIDES = st.integers(5, 20)
CHANNELS = st.integers(1, 4)


class Seen(gymnasium.Env[Any, Any]):
    """An environment with images of a shape."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.observation_space = Box(0, 255, shape, np.uint8)


def image_of(environment: gymnasium.Env[Any, Any]) -> tuple[int, int, int]:
    height, width, channels = environment_signals(FlatObservation(environment, "seen"))["image"]
    return height, width, channels


@given(SIDES, SIDES, CHANNELS)
def test_channels_first_are_refused_with_the_wrapper_that_mends_it(
    rows: int, columns: int, channels: int
) -> None:
    environment = Seen((channels, rows, columns))
    shape = image_of(environment)
    assert is_image_space_channels_first(environment.observation_space)
    for decide in (lambda: convolution_of(shape, 8), lambda: kernels_of(shape, 8)):
        with pytest.raises(UserError, match=f"channels seem to come first.*--wrapper {WRAPPER}"):
            decide()
    assert convolution_of(shape, 0) is None  # without a convolution any order will do
    found = convolution_of(image_of(ChannelsLast(environment)), 8)
    assert found is not None
    assert (found.height, found.width, found.channels) == (rows, columns, channels)


@given(SIDES, SIDES, CHANNELS)
def test_channels_last_are_taken(rows: int, columns: int, channels: int) -> None:
    shape = (rows, columns, channels)
    assert not is_image_space_channels_first(Seen(shape).observation_space)
    found = convolution_of(image_of(Seen(shape)), 8)
    assert found is not None and kernels_of(shape, 8)


@given(SIDES, st.integers(1, 200))
def test_a_square_tells_whatever_the_number_of_channels(side: int, channels: int) -> None:
    """As planes of a board: 17 of 8 x 8. MinAtar's Seaquest is 10 x 10 with 10 channels."""
    assert convolution_of((side, side, channels), 1) is not None
    assume(channels != side)
    with pytest.raises(UserError, match="channels seem to come first"):
        convolution_of((channels, side, side), 1)
