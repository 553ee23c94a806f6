"""Recurrent policies that tests share."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from sparsectl.policy.graph import Layer, PolicyGraph, Signal
from sparsectl.policy.recurrent import Gru, recurrent_policy


def random_recurrent(
    units: tuple[int, ...] = (4,),
    seed: int = 0,
    *,
    inputs: int = 3,
    actions: int = 2,
    encoder: int = 0,
    kept: float = 1.0,
    linear_before_reset: bool = True,
    normalised: bool = False,
    starts_at_zero: bool = True,
    frames: int = 1,
) -> PolicyGraph:
    """GRUs of `units` behind an encoder of as many relu neurons as `encoder` says, 0 for none; the
    action through tanh."""
    generator = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        found = generator.normal(size=shape) / np.sqrt(max(1.0, kept * shape[-1]))
        return found * (generator.random(shape) < kept)

    blocks: list[Layer | Gru] = []
    width = inputs * frames
    if encoder:
        blocks.append(Layer(weights(encoder, width), 0.3 * weights(encoder), "relu"))
        width = encoder
    for count in units:
        blocks.append(
            Gru(
                weights(3 * count, width),
                weights(3 * count, count),
                0.5 * generator.normal(size=3 * count),
                0.5 * generator.normal(size=3 * count),
                None if starts_at_zero else generator.uniform(-0.9, 0.9, count),
                linear_before_reset,
            )
        )
        width = count
    blocks.append(Layer(weights(actions, width), 0.1 * generator.normal(size=actions), "tanh"))
    signals = [
        Signal(
            f"o{i}",
            "m",
            scale=float(generator.uniform(0.2, 3)) if normalised else 1.0,
            offset=float(generator.normal()) if normalised else 0.0,
            low=-3.0,
            high=3.0,
        )
        for i in range(inputs)
    ]
    actuators = [Signal(f"a{i}", "N", low=-1.0, high=1.0) for i in range(actions)]
    return recurrent_policy(blocks, signals, actuators, frames=frames, period_s=0.02)


@st.composite
def recurrent_graphs(draw: st.DrawFn, most_units: int = 12) -> PolicyGraph:
    """Any shape: one or two layers of units, sparse or not, both places of the reset gate."""
    return random_recurrent(
        tuple(draw(st.lists(st.integers(1, most_units), min_size=1, max_size=2))),
        draw(st.integers(0, 2**32 - 1)),
        inputs=draw(st.integers(1, 6)),
        actions=draw(st.integers(1, 3)),
        encoder=draw(st.sampled_from([0, 0, 5])),
        kept=draw(st.sampled_from([0.1, 0.5, 1.0])),
        linear_before_reset=draw(st.booleans()),
        normalised=draw(st.booleans()),
        starts_at_zero=draw(st.booleans()),
        frames=draw(st.sampled_from([1, 1, 2])),
    )


def sequence(
    graph: PolicyGraph, ticks: int, seed: int = 1, resets: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """Observations, and the ticks before which the state is reset: a share `resets` of them."""
    generator = np.random.default_rng(seed)
    observations = generator.uniform(-3, 3, (ticks, graph.observation_size)).astype(np.float32)
    return observations, generator.random(ticks) < resets
