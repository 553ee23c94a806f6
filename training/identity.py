"""What makes two runs of a distillation the same: kept with the result, compared on resuming."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from training.config import DistillConfig
from training.dataset import Dataset
from training.policy import Policy
from training.presets import Preset

JSON = dict[str, Any]


def identity(
    config: DistillConfig, preset: Preset, dataset: Dataset, teacher: Policy | None
) -> JSON:
    """Settings, and the digests of what came in."""
    return {
        "method": config.method,
        "preset": config.preset,
        **json.loads(json.dumps(asdict(preset))),  # as a checkpoint gives it back: no tuples
        "target": {"keep": config.keep, "return": config.return_share, "flash": config.flash},
        "episodes": config.episodes,
        "environment": config.env,
        "teacher": teacher.sha256 if teacher else None,
        "seed": config.seed,
        "dataset": dataset.digest(),
    }


def teacher_facts(dataset: Dataset, teacher: Policy | None) -> JSON | None:
    """Parameters and digest of the teacher's file, or what the dataset says of it."""
    if teacher is not None:
        return {"parameters": teacher.parameters, "sha256": teacher.sha256}
    facts: JSON | None = dataset.metadata.get("teacher")
    return facts
