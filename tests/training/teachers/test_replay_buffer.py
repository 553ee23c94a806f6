"""The replay buffer in a checkpoint: what is read back is what was learnt from, bit by bit."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer

from sparsectl.training.config import TeachConfig
from sparsectl.training.nn.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sparsectl.training.teachers.replay_buffer import (
    BLOCK,
    COLUMNS,
    as_bytes,
    load_replay,
    replay_state,
)
from sparsectl.training.teachers.teach import teach

RANDOM = np.random.default_rng(0)
ROWS = 2 * BLOCK + 3
"""Not a whole number of blocks."""
WIDTH = 13
"""Not a whole number of bytes of bits."""

BITS = RANDOM.integers(2, size=(ROWS, 1, WIDTH)).astype(np.float32)
PIXELS = RANDOM.integers(256, size=(ROWS, 1, WIDTH)).astype(np.float32)


def buffer_of(observations: NDArray[np.float32]) -> ReplayBuffer:
    """With those observations in each step, the next ones the other way round."""
    size = len(observations)
    space = gymnasium.spaces.Box(-np.inf, np.inf, observations.shape[2:], np.float32)
    buffer = ReplayBuffer(max(size, 1), space, gymnasium.spaces.Discrete(5), device="cpu")
    for seen, after in zip(observations, observations[::-1], strict=True):
        buffer.add(seen, after, np.array([3]), np.array([0.5]), np.array([False]), [{}])
    return buffer


def last_changed(values: NDArray[np.float32], last: float) -> NDArray[np.float32]:
    changed = values.copy()
    changed[-1, 0, -1] = last
    return changed


@pytest.mark.parametrize(
    ("observations", "bytes_a_step"),
    [
        (BITS, 2),
        (PIXELS, WIDTH),
        (last_changed(BITS, 2), WIDTH),
        (last_changed(PIXELS, 256), 4 * WIDTH),
        (last_changed(BITS, -1), 4 * WIDTH),
        (last_changed(BITS, -0.0), 4 * WIDTH),
        (last_changed(BITS, 0.5), 4 * WIDTH),
        (last_changed(BITS, np.nan), 4 * WIDTH),
        (last_changed(BITS, np.inf), 4 * WIDTH),
        (RANDOM.normal(size=(ROWS, 1, WIDTH)).astype(np.float32), 4 * WIDTH),
        (BITS[:0], 2),
    ],
)
def test_what_is_read_back_is_what_was_there(
    observations: NDArray[np.float32], bytes_a_step: int
) -> None:
    buffer = buffer_of(observations)
    fresh = ReplayBuffer(
        buffer.buffer_size, buffer.observation_space, buffer.action_space, device="cpu"
    )
    state = replay_state(buffer)
    load_replay(fresh, state)
    for name in COLUMNS:
        before, after = getattr(buffer, name), getattr(fresh, name)
        assert before.dtype == after.dtype
        assert before[: buffer.size()].tobytes() == after[: buffer.size()].tobytes(), name
    assert (fresh.pos, fresh.full) == (buffer.pos, buffer.full)
    (written,) = (state[name] for name in state if name.startswith("replay/observations"))
    assert written.nbytes == bytes_a_step * len(observations)


def test_bytes_need_no_packing() -> None:
    images = RANDOM.integers(256, size=(4, 1, 3)).astype(np.uint8)
    assert as_bytes(images) is images


def test_a_checkpoint_of_a_release_that_did_not_pack_is_read() -> None:
    buffer, fresh = buffer_of(BITS), buffer_of(np.zeros_like(BITS))
    plain = {f"replay/{name}": torch.from_numpy(getattr(buffer, name)) for name in COLUMNS}
    load_replay(fresh, plain | {"replay/position": torch.tensor([0, 1])})
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(buffer, name), getattr(fresh, name))


def test_the_memory_of_a_game_takes_a_bit_a_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("minatar")
    config = TeachConfig(
        env="MinAtar/Breakout-v1",
        algo="dqn",
        steps=600,
        environments=1,
        learning_starts=550,
        evaluate_every=500,
        evaluate_episodes=1,
        hidden=(8,),
        out=tmp_path,
    )
    sizes = []

    def write(path: Path, checkpoint: Checkpoint) -> None:
        write_checkpoint(path, checkpoint)
        replayed = read_checkpoint(path).part("replay/")
        sizes.append(sum(tensor.nbytes for tensor in replayed.values()))

    monkeypatch.setattr("sparsectl.training.teachers.teach.write_checkpoint", write)
    teach(config)
    # Each of two images has 400 pixels; the rest are the action, reward and ends.
    assert 499 * 2 * 400 / 8 <= sizes[0] <= 501 * (2 * 400 / 8 + 20)
    assert sizes[-1] == 0  # that of a finished run has none
