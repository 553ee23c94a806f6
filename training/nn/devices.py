"""Choose the device that a student is trained on."""

from __future__ import annotations

import torch

from sparsectl.common.errors import UserError


def chosen_device(name: str) -> torch.device:
    """Return the device of that name; auto is CUDA where there is one.

    Raises:
        UserError: there is no such device here.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"device is {name!r}; give auto, cpu or cuda") from error
    if device.type == "cuda" and not available:
        raise UserError(f"device is {name!r} but torch sees no CUDA here; give cpu or auto")
    return device
