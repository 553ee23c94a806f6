"""SBX, the JAX sibling of Stable-Baselines3: actor and state of its SAC and TD3."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsectl.common.errors import UserError
from sparsectl.training.teachers.backends.backend import Backend
from sparsectl.training.teachers.teacher_file import Weights

OF_POLICY = ("actor_state", "qf_state")
OF_MODEL = ("ent_coef_state", "key")
"""The parts that change in training; TD3 has no entropy coefficient."""


def weights(model: Any) -> Weights:
    """Return the deterministic actor of a SAC or TD3 model; SAC's last Dense gives the
    deviation."""
    layers = model.policy.actor_state.params["params"]
    count = len(model.policy.net_arch_pi if hasattr(model.policy, "net_arch_pi") else (0, 0)) + 1
    dense = [layers[f"Dense_{i}"] for i in range(count)]
    return [(np.array(layer["kernel"]).T.copy(), np.array(layer["bias"])) for layer in dense]


def state(model: Any) -> dict[str, Tensor]:
    """Return the leaves of every part's tree, as PART/NUMBER."""
    import jax

    tensors = {}
    for part, owner in _parts(model).items():
        for number, leaf in enumerate(jax.tree_util.tree_leaves(getattr(owner, part))):
            value = np.array(leaf)
            signed = value.view(np.int32) if value.dtype == np.uint32 else value
            tensors[f"{part}/{number}"] = torch.from_numpy(signed)
    return tensors


def restore(model: Any, tensors: dict[str, Tensor]) -> None:
    """Load such a state into a model."""
    import jax

    for part, owner in _parts(model).items():
        leaves, tree = jax.tree_util.tree_flatten(getattr(owner, part))
        values = [
            _as_leaf(tensors[f"{part}/{number}"].numpy(), leaf)
            for number, leaf in enumerate(leaves)
        ]
        setattr(owner, part, jax.tree_util.tree_unflatten(tree, values))


def _parts(model: Any) -> dict[str, Any]:
    """Yield each part that this algorithm has, and the object that it is an attribute of."""
    owners = dict.fromkeys(OF_POLICY, model.policy) | dict.fromkeys(OF_MODEL, model)
    return {part: owner for part, owner in owners.items() if hasattr(owner, part)}


def _as_leaf(saved: NDArray[Any], leaf: Any) -> Any:
    """Convert to an array of JAX; random keys are unsigned, which torch's files do not keep."""
    import jax

    unsigned = np.asarray(leaf).dtype == np.uint32
    return jax.numpy.asarray(saved.view(np.uint32) if unsigned else saved)


def device(name: str) -> AbstractContextManager[Any]:
    """Use JAX's device of this name; auto is JAX's default, a GPU if there is one."""
    import jax

    if name == "auto":
        return nullcontext()
    platform, colon, number = name.partition(":")
    if platform not in ("cpu", "cuda") or (colon and not number.isdecimal()):
        raise UserError(f"device is {name!r}; give auto, cpu or cuda")
    try:
        found = jax.devices(platform)[int(number or 0)]
    except (RuntimeError, IndexError) as error:
        raise UserError(f"device is {name!r} but JAX sees none here; give cpu or auto") from error
    context: AbstractContextManager[Any] = jax.default_device(found)
    return context


BACKEND = Backend("sbx", weights, state, restore, device)
