"""`sparsectl distill`: the training, with a student's size after export where that is asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

from sparsectl.training.config import DistillConfig
from sparsectl.training.distill import distill


def run(config: DistillConfig) -> dict[str, Any]:
    """Distil; with `--flash` every fine-tuned student is measured as the export would write it."""
    if config.flash is None:
        return distill(config)
    from sparsectl.commands.flash import flash_bytes

    measure = partial(flash_bytes, encoding=config.flash_encoding)
    result = distill(config, measure)
    return result | {"flash_bytes": measure(config.out / "student.safetensors")}
