"""`sparsectl distill`: the training, with a student's size after export where that is asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.registry import AUTO, ENCODINGS
from sparsectl.training.config import DistillConfig
from sparsectl.training.distill import distill


def run(config: DistillConfig) -> dict[str, Any]:
    """Distil; with `--flash` every fine-tuned student is measured as the export would write it."""
    if config.flash_encoding != AUTO and config.flash_encoding not in ENCODINGS:
        known = ", ".join((AUTO, *ENCODINGS))
        raise UserError(f"flash_encoding is {config.flash_encoding!r}; take one of {known}")
    if config.flash is None:
        return distill(config)
    from sparsectl.commands.flash import flash_bytes

    measure = partial(flash_bytes, encoding=config.flash_encoding)
    result = distill(config, measure)
    return result | {"flash_bytes": measure(config.out / "student.safetensors")}
