"""The acting network in the state dict that a script of CleanRL saved, read without unpickling.

CleanRL's scripts are single files, whose networks are written out in each
(https://docs.cleanrl.dev, cleanrl/*.py, `--save-model`). A `.cleanrl_model` has their weights, but
neither activations nor normalisers: those are taken from the script whose names the weights have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.common.warning import warn
from sparsectl.policy.actor_network import ActorNetwork
from sparsectl.policy.choices import Choices
from sparsectl.policy.model_file import check_model_file
from sparsectl.policy.state_dict import (
    MEND,
    POLICY_BYTES_LIMIT,
    chain_of,
    indices_of,
    read_array,
    read_layers,
    read_saved,
    tensors_of,
)

NOT_ACTING = ("critic.", "actor_logstd", "fc_logstd.", "action_scale", "action_bias")
"""Prefixes of tensors that a deterministic policy has no layers of."""
C51_KEY = "model_weights"
"""The key under which CleanRL's c51.py saves its network."""


@dataclass(frozen=True)
class Script:
    """A CleanRL script's network and how it acts.

    Attributes:
        name: of the script.
        prefix: of the nn.Sequential that acts; empty where `layers` names them.
        layers: names of the linear layers, where they are attributes.
        activation: between the layers.
        squashed: whether a tanh follows, scaled by `action_scale` and `action_bias`.
        values: the kind of value for each choice, `q_values` or `logits`; None: it outputs actions.
        normalised: whether the script always puts Gymnasium's NormalizeObservation before it.
    """

    name: str
    prefix: str = ""
    layers: tuple[str, ...] = ()
    activation: str = "relu"
    squashed: bool = False
    values: str | None = None
    normalised: bool = False


SCRIPTS = (
    Script("dqn.py", prefix="network", values="q_values"),
    Script("ppo.py", prefix="actor", activation="tanh", values="logits"),
    Script("ppo_continuous_action.py", prefix="actor_mean", activation="tanh", normalised=True),
    Script("td3_continuous_action.py", layers=("fc1", "fc2", "fc_mu"), squashed=True),
    Script("sac_continuous_action.py", layers=("fc1", "fc2", "fc_mean"), squashed=True),
)
"""The scripts whose networks are read; DDPG's is as TD3's."""


def read_cleanrl(
    path: Path,
    activation: str | None = None,
    action_low: Sequence[float] | None = None,
    action_high: Sequence[float] | None = None,
) -> ActorNetwork:
    """Read the deterministic actor of CleanRL's DQN, PPO, TD3, DDPG or SAC.

    Args:
        path: the `.cleanrl_model` that the script wrote.
        activation: of the hidden layers; by default the script's.
        action_low, action_high: bounds to which PPO's actions are clipped; by default none, as the
            file has none and the script leaves that to the environment.

    Raises:
        UserError: the file is truncated, foreign or hostile, or its network is none of these.
        ModuleNotFoundError: torch is not installed.
    """
    check_model_file(path, POLICY_BYTES_LIMIT)
    state = _state_dict(path)
    script, names = _script(path, state)
    weights, biases = read_layers(path, state, names)
    hidden = activation or script.activation
    if activation is None:
        warn(
            f"{path} does not say its activations; {hidden} is taken, as in CleanRL's "
            f"{script.name}; if yours has others, {MEND}"
        )
    size = weights[-1].shape[0]
    nothing, one = np.zeros(size, np.float32), np.ones(size, np.float32)
    if script.squashed:
        scale, offset = (_per_action(path, state, f"action_{n}", size) for n in ("scale", "bias"))
        low, high = offset - np.abs(scale), offset + np.abs(scale)
        return ActorNetwork(weights, biases, hidden, True, offset, scale, low, high)
    low = _limits(path, action_low, size, -np.inf)
    high = _limits(path, action_high, size, np.inf)
    choices = None if script.values is None else Choices(0, size, script.values)
    return ActorNetwork(weights, biases, hidden, False, nothing, one, low, high, choices)


def behind_normaliser(path: Path) -> bool:
    """Return whether the script that wrote a `.cleanrl_model` normalises observations; the file
    does not contain their statistics."""
    return _script(path, _state_dict(path))[0].normalised


def _state_dict(path: Path) -> dict[str, Any]:
    """Return the actor's tensors; TD3 and DDPG save those of their critics behind it.

    Raises:
        UserError: the file is no state dict, or C51's.
    """
    saved = read_saved(path, path.read_bytes(), "the file")
    if isinstance(saved, dict) and C51_KEY in saved:
        raise UserError(
            f"{path} is of CleanRL's c51.py, whose network gives distributions of returns and not "
            f"actions; {MEND}"
        )
    actor = saved[0] if isinstance(saved, tuple) and saved else saved
    return tensors_of(path, actor, "the file")


def _script(path: Path, state: dict[str, Any]) -> tuple[Script, tuple[str, ...]]:
    """Return the script and the names of the layers that act.

    Raises:
        UserError: the names are of no script that is known, or there are others that may act.
    """
    for script in SCRIPTS:
        if script.layers and f"{script.layers[-1]}.weight" in state:
            names = script.layers
        elif script.prefix and indices_of(state, rf"{script.prefix}\.(\d+)"):
            _refuse_images(path, state, script.prefix)
            names = chain_of(path, state, script.prefix)
        else:
            continue
        known = {f"{name}.{part}" for name in names for part in ("weight", "bias")}
        others = [k for k in state if k not in known and not k.startswith(NOT_ACTING)]
        if others:
            raise UserError(
                f"{path}: {others[0]} is in no network of CleanRL's {script.name}; {MEND}"
            )
        return script, names
    names_found = ", ".join(list(state)[:4]) or "no tensors"
    raise UserError(
        f"{path} has {names_found}; networks of CleanRL's "
        f"{', '.join(script.name for script in SCRIPTS)} are read; {MEND}"
    )


def _refuse_images(path: Path, state: dict[str, Any], prefix: str) -> None:
    first = state.get(f"{prefix}.0.weight")
    if first is not None and first.dim() == 4:
        raise UserError(f"{path} observes images; convolutions are read from ONNX: {MEND}")


def _per_action(path: Path, state: dict[str, Any], key: str, size: int) -> Any:
    """Return a buffer of one number per action; earlier scripts saved it as [1, actions]."""
    tensor = state.get(key)
    if tensor is None:
        raise UserError(f"{path} has no {key}, so the bounds of its actions are unknown; {MEND}")
    if tensor.numel() != size:
        raise UserError(f"{path}: {key} has {tensor.numel()} numbers for {size} actions; {MEND}")
    return read_array(path, {key: tensor.reshape(-1)}, key, 1)


def _limits(path: Path, said: Sequence[float] | None, size: int, default: float) -> Any:
    limits = np.asarray([default] if said is None else said, np.float32)
    if limits.size not in (1, size):
        raise UserError(f"{limits.size} bounds for the {size} actions of {path}; give {size}")
    return np.full(size, limits) if limits.size == 1 else limits
