"""The commands that an experiment chains, and which outputs of earlier ones each takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sparsectl.cli import COMMANDS

FROM_BEFORE: Final = "{%s}"
"""How a sweep's file may refer to outputs of earlier commands: {teacher}, {dataset}, …"""


@dataclass(frozen=True)
class Stage:
    """A command in the chain.

    Attributes:
        command: its name.
        check: `module:function` that refuses a config without any input of its own.
        makes: name of its output; None: it has none.
        out: the value of its `out`, inside its own folder; None: it has no such setting.
        file: path of its output inside its folder.
        takes: names of its settings → outputs of earlier commands that they take.
        scratch: files and folders that are removed when it is finished.
        check_in: `module:function` that refuses a config whose dataset is collected in an
            environment with other actions than it is for; empty: it suits all.
    """

    command: str
    check: str
    makes: str | None = None
    out: str | None = None
    file: str = ""
    takes: Mapping[str, str] = field(default_factory=dict)
    scratch: tuple[str, ...] = ()
    check_in: str = ""

    @property
    def config(self) -> type:
        """Return the dataclass of its settings."""
        return COMMANDS[self.command].config


TEACHER, DATASET, STUDENT, POLICY = "teacher", "dataset", "student", "policy"

CHAIN: Final[Mapping[str, Stage]] = {
    stage.command: stage
    for stage in (
        Stage(
            "teach",
            "training.teachers.teach:check_teach",
            TEACHER,
            out=".",
            file="teacher.onnx",
        ),
        Stage(
            "collect",
            "training.rollouts.collect:check_collect",
            DATASET,
            out="dataset.npz",
            file="dataset.npz",
            takes={"teacher": TEACHER},
        ),
        Stage(
            "distill",
            "training.distillation.distill:check_distill",
            STUDENT,
            out=".",
            file="student.safetensors",
            takes={"dataset": DATASET, "teacher": TEACHER},
            scratch=("rounds", "checkpoint.safetensors"),
            check_in="training.distillation.distill:check_distill_in",
        ),
        Stage(
            "evaluate",
            "training.rollouts.evaluate:check_settings",
            takes={"policy": STUDENT},
        ),
        Stage(
            "export",
            "commands.export:check_export",
            POLICY,
            out="policy",
            file="policy",
            takes={"model": STUDENT},
        ),
        Stage(
            "bench",
            "commands.bench:check_bench",
            takes={"policy": POLICY},
        ),
    )
}
"""In the order of the chain."""

SHARED: Final = ("env", "env-kwargs", "wrapper")
"""Settings that are shared by all commands of a run, because a run is in one environment."""

SEEDED: Final = ("teach", "collect", "distill")
"""Commands whose seed is the run's. The others have seeds of their own: all students are evaluated
in the same episodes."""

UNSHOWN: Final = ("out", "restart", "workers", "checkpoint-seconds")
"""Settings that do not change a result."""

OWN: Final = ("out", "restart")
"""Settings that the sweep sets itself."""
