"""Name the signals of a policy whose file does not: those of the rig that it was trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.plants.rig import Rig, load_rig
from sparsectl.policy.choices import choices_of, other_duties
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.load import index_of
from sparsectl.policy.passes import fold_normaliser
from sparsectl.policy.signals import Signal, parse_signals


def with_signals_of(graph: PolicyGraph, name_or_path: str) -> PolicyGraph:
    """Return the policy with the names, units, frames and period of a rig's environment
    (`sparsectl/NAME-v0`), whose observation is frames of the rig's signals, the oldest first.

    Args:
        graph: the policy; its numbers stay as they are.
        name_or_path: the rig, by its name or as a TOML file.

    Raises:
        UserError: no such rig, its sizes are others, or the file names another one.
    """
    rig = load_rig(name_or_path)
    signals = parse_signals(rig.signals(), f"rig {rig.name}")
    if graph.rig not in (None, rig.name):
        raise UserError(f"--rig is {name_or_path}, but the policy's file says {graph.rig}")
    if graph.state_size:
        signals = signals._replace(frames=1)
    size, frames = len(signals.observation), signals.frames
    if graph.observation_size != size * frames or len(graph.action) != 1:
        raise UserError(
            f"--rig is {name_or_path}, which gives {size * frames} values for one action, but the "
            f"policy takes {graph.observation_size} and gives {len(graph.action)}; name the rig "
            "that it was trained on, with its number of frames"
        )
    if (
        why := other_duties(choices_of(graph.signals()) or index_of(graph), rig.motor.duties)
    ) is not None:
        raise UserError(f"--rig is {name_or_path}, but the policy {why}; name its own rig")
    each = np.stack([graph.observation_offset, graph.observation_scale]).reshape(2, frames, size)
    if (each != each[:, :1]).any():  # a signal has one scale for all its frames
        graph = fold_normaliser(graph)
        each = np.stack([np.zeros((frames, size)), np.ones((frames, size))])
    (offsets, scales), (action,) = each[:, 0].tolist(), graph.action
    observation = tuple(
        replace(signal, offset=offset, scale=scale)
        for signal, offset, scale in zip(signals.observation, offsets, scales, strict=True)
    )
    return replace(
        graph,
        observation=observation,
        action=(_as_motor(signals.action[0], action, rig),),
        frames=frames,
        period_s=signals.period_s,
        rig=signals.rig,
    )


def _as_motor(motor: Signal, action: Signal, rig: Rig) -> Signal:
    """Return the motor's signal, with the scale and the limits that the policy has."""
    if rig.motor.duties:
        return replace(motor, scale=action.scale, offset=action.offset)
    low = motor.low if action.low is None else action.low
    high = motor.high if action.high is None else action.high
    return replace(motor, scale=action.scale, offset=action.offset, low=low, high=high)
