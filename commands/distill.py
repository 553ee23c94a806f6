"""`sparsectl distill`: the training, with a student's size after export where that is asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.registry import AUTO, ENCODINGS
from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.distill import distill as distill_student


def distill(config: DistillConfig) -> dict[str, Any]:
    """Distil; with `--table-bytes` each fine-tuned student is measured as the export writes it."""
    if config.table_encoding != AUTO and config.table_encoding not in ENCODINGS:
        known = ", ".join((AUTO, *ENCODINGS))
        raise UserError(f"table_encoding is {config.table_encoding!r}; use one of {known}")
    if config.table_bytes is None:
        return distill_student(config)
    from sparsectl.export.table_bytes import table_bytes

    measure = partial(table_bytes, encoding=config.table_encoding)
    result = distill_student(config, measure)
    return result | {"table_bytes": measure(config.out / "student.safetensors")}
