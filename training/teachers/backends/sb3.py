"""Stable-Baselines3: actor and state of its SAC, TD3, DQN and PPO."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from sparsectl.training.nn.devices import chosen_device
from sparsectl.training.teachers.backends.backend import Backend
from sparsectl.training.teachers.teacher_file import Weights

ENTROPY = "log_ent_coef"
"""The entropy coefficient of SAC, which `get_parameters` does not return."""


def weights(model: Any) -> Weights:
    """Return the acting network of a model, layer by layer: the deterministic actor of SAC or TD3,
    DQN's Q-network, or the network of PPO's logits. A convolution's weights are [out, in, rows,
    columns]."""
    linear = [layer for layer in _acting(model.policy) if hasattr(layer, "weight")]
    return [
        (layer.weight.detach().cpu().numpy().copy(), layer.bias.detach().cpu().numpy().copy())
        for layer in linear
    ]


def _acting(policy: Any) -> list[Any]:
    if hasattr(policy, "q_net"):
        return [*_convolutions(policy.q_net), *policy.q_net.q_net]
    if hasattr(policy, "action_net"):
        dense = [*policy.mlp_extractor.policy_net, policy.action_net]
        return [*_convolutions(policy), *dense]
    actor = policy.actor
    return [*actor.latent_pi, actor.mu] if hasattr(actor, "latent_pi") else list(actor.mu)


def _convolutions(network: Any) -> list[Any]:
    """Return the convolutions of a network for images; others have none."""
    return list(getattr(network.features_extractor, "convolutions", ()))


def state(model: Any) -> dict[str, Tensor]:
    """Return networks, targets and the optimisers' moments as PART/NAME or PART/PARAMETER/NAME.

    Tensors that actor and critic share have several names, of which only the first is used.
    """
    tensors: dict[str, Tensor] = {}
    for part, values in model.get_parameters().items():
        moments = values["state"] if _is_optimizer(part) else {None: _once(values)}
        for parameter, named in moments.items():
            prefix = part if parameter is None else f"{part}/{parameter}"
            tensors |= {f"{prefix}/{name}": tensor for name, tensor in named.items()}
    if hasattr(model, ENTROPY):
        tensors[ENTROPY] = getattr(model, ENTROPY)
    return tensors


def restore(model: Any, tensors: dict[str, Tensor]) -> None:
    """Load such a state into a model."""
    parameters = model.get_parameters()
    for part, values in parameters.items():
        mine = {
            name.removeprefix(f"{part}/"): tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{part}/")
        }
        if _is_optimizer(part):
            values["state"] = _by_parameter(mine)
        else:
            # Other names of a shared tensor refer to the same tensor, which the first one fills.
            values.update(mine)
    model.set_parameters(parameters)
    if hasattr(model, ENTROPY):
        with torch.no_grad():
            getattr(model, ENTROPY).copy_(tensors[ENTROPY])


def _once(named: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return each tensor once, by the first of its names."""
    first: dict[int, str] = {}
    for name, tensor in named.items():
        first.setdefault(tensor.data_ptr() if tensor.numel() else id(tensor), name)
    return {name: named[name] for name in first.values()}


def _is_optimizer(part: str) -> bool:
    return part.endswith("optimizer")


def _by_parameter(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    grouped: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        parameter, name = path.split("/")
        grouped.setdefault(int(parameter), {})[name] = tensor
    return grouped


def device(name: str) -> AbstractContextManager[Any]:
    """Use torch's device of this name; auto is CUDA if there is one."""
    chosen_device(name)
    return nullcontext()


BACKEND = Backend("stable_baselines3", weights, state, restore, device)
