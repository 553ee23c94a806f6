"""The identity of a run of a distillation: kept with the result, and compared when a run is
resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sparsectl.common.provenance import provenance
from sparsectl.policy.acting.policy import ActingPolicy, without_argmax
from sparsectl.policy.choices import choices_of
from sparsectl.policy.signals_json import image_of
from sparsectl.policy.student_file import StudentFile, StudentLayer
from sparsectl.policy.tasks import heads_of
from sparsectl.training.config import DistillConfig
from sparsectl.training.data.dataset import Dataset
from sparsectl.training.distillation.presets import Preset
from sparsectl.training.environments.signals import standardised, unscaled
from sparsectl.training.policy_distillation.heads import Term
from sparsectl.training.students.masked import kept_weights

JSON = dict[str, Any]


@dataclass(frozen=True)
class RunFacts:
    """Facts that are constant during a run and are written into its students' files.

    Attributes:
        identity: the settings, and the digests of the input.
        teacher: parameters and digest of the teacher's file, or those in the dataset.
        environment: Gymnasium id, if it is known.
        signals: names, units, scales and limits of observations and actions.
        threshold: log α at which a weight is cut, for students without masks.
        seed: the run's.
        tasks: environment, signals and teacher of each task, if there are several.
    """

    identity: JSON
    teacher: JSON | None
    environment: str | None
    signals: JSON
    threshold: float
    seed: int
    tasks: list[JSON] | None = None

    @property
    def chooses(self) -> bool:
        """Return whether the output is the index of a choice, or one index per task."""
        return choices_of(self.signals) is not None or bool(heads_of(self.signals))

    def student(self, layers: Sequence[StudentLayer], report: Sequence[JSON]) -> StudentFile:
        """Return the file of a student of this run, after the stages in the report."""
        metadata = {
            "activations": ["relu"] * (len(layers) - 1) + ["argmax" if self.chooses else "tanh"],
            "log_alpha_threshold": self.threshold,
            "signals": self.signals,
            "config": self.identity,
            "seed": self.seed,
            "provenance": provenance(),
            "teacher": self.teacher,
            "environment": self.environment,
            "kept_weights": kept_weights(layers),
            "steps": list(report),
            **({"tasks": self.tasks} if self.tasks else {}),
        }
        return StudentFile(tuple(layers), metadata)

    def policy(self, student: StudentFile) -> ActingPolicy:
        """Return the student as a policy in physical units."""
        network, choices = without_argmax(student.network(), self.signals)
        weights = sum(array.size for array in network.weights)
        size = weights + sum(array.size for array in network.biases)
        known = self.signals, self.environment, weights
        return ActingPolicy(network, size, "", *known, choices=choices)


def facts_of(
    config: DistillConfig,
    preset: Preset,
    dataset: Dataset,
    teacher: ActingPolicy | None,
    term: Term | None,
) -> RunFacts:
    """Return the facts about a run of this config on this dataset."""
    of_choices = {} if term is None else term.identity()
    return RunFacts(
        identity=_identity(config, preset, dataset, teacher) | of_choices,
        teacher=_teacher_facts(dataset, teacher),
        environment=config.env or dataset.metadata.get("environment"),
        signals=_signals(preset, dataset),
        threshold=preset.bpd.log_alpha_threshold,
        seed=config.seed,
        tasks=dataset.metadata.get("tasks"),
    )


def _signals(preset: Preset, dataset: Dataset) -> JSON:
    if preset.bpd.units == "physical":
        return unscaled(dataset.signals)
    return standardised(dataset.signals, dataset.observations)


def _identity(
    config: DistillConfig, preset: Preset, dataset: Dataset, teacher: ActingPolicy | None
) -> JSON:
    return {
        "method": config.method,
        "preset": config.preset,
        **_settings(preset, dataset),
        "target": {
            "keep": config.keep,
            "return": config.return_share,
            "flash": config.table_bytes,  # the names that checkpoints had before
        },
        "flash_encoding": config.table_encoding,
        "environment": config.env,
        "teacher": teacher.identity if teacher else None,
        "seed": config.seed,
        "dataset": dataset.digest(),
    }


def _settings(preset: Preset, dataset: Dataset) -> JSON:
    """Return the settings as a checkpoint gives them back: without tuples; channels only for
    images, and a search only where there is one."""
    settings: JSON = json.loads(json.dumps(asdict(preset)))
    if image_of(dataset.signals) is None:
        del settings["bpd"]["channels"]
    if not preset.search.generations:
        del settings["search"]
    return settings


def _teacher_facts(dataset: Dataset, teacher: ActingPolicy | None) -> JSON | None:
    if teacher is not None:
        return teacher.facts()
    facts: JSON | None = dataset.metadata.get("teacher")
    return facts
