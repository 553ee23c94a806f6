"""`sparsectl distill`: the training, with a student's size after export where that is asked for."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import Any

from sparsectl.common.errors import UserError
from sparsectl.export.encodings.registry import AUTO, ENCODINGS
from sparsectl.training.config import DistillConfig
from sparsectl.training.distillation.distill import distill

FORMER_NAMES = {"flash": "table_bytes", "flash_encoding": "table_encoding"}


def run(config: DistillConfig) -> dict[str, Any]:
    """Distil; with `--table-bytes` each fine-tuned student is measured as the export writes it."""
    config = with_present_names(config)
    if config.table_encoding != AUTO and config.table_encoding not in ENCODINGS:
        known = ", ".join((AUTO, *ENCODINGS))
        raise UserError(f"table_encoding is {config.table_encoding!r}; take one of {known}")
    if config.table_bytes is None:
        return distill(config)
    from sparsectl.commands.table_bytes import table_bytes

    measure = partial(table_bytes, encoding=config.table_encoding)
    result = distill(config, measure)
    return result | {"table_bytes": measure(config.out / "student.safetensors")}


def with_present_names(config: DistillConfig) -> DistillConfig:
    """The config with what stands under a former name under the present one, and a warning.

    Raises:
        UserError: a setting is given under both names.
    """
    for former, present in FORMER_NAMES.items():
        value = getattr(config, former)
        if value is None:
            continue
        option, instead = (f"--{name.replace('_', '-')}" for name in (former, present))
        if getattr(config, present) not in (None, "auto"):
            raise UserError(f"{option} is the former name of {instead}; give {instead} alone")
        print(
            f"{option} is now called {instead}: it counts tables alone, where `export --flash` "
            "counts the code too",
            file=sys.stderr,
        )
        config = replace(config, **{former: None, present: value})
    return config
