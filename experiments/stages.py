"""The commands that an experiment chains, and what each takes from those before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sparsectl.cli import COMMANDS

FROM_BEFORE: Final = "{%s}"
"""How a sweep's file may name what an earlier command makes: {teacher}, {dataset}, …"""


@dataclass(frozen=True)
class Stage:
    """A command in the chain.

    Attributes:
        command: its name.
        check: `module:function` that refuses a config without any input of its own.
        makes: what it hands on; None: nothing.
        out: what its `out` is, in its own folder; None: it has none.
        file: where in its folder lies what it makes.
        takes: names of its settings → what they take from before, where it is made or given.
        scratch: files and folders that it no longer needs when it is done.
    """

    command: str
    check: str
    makes: str | None = None
    out: str | None = None
    file: str = ""
    takes: Mapping[str, str] = field(default_factory=dict)
    scratch: tuple[str, ...] = ()

    @property
    def config(self) -> type:
        """The dataclass of its settings."""
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
"""Settings that each command of the chain has or has not, by which a run is in one environment."""

SEEDED: Final = ("teach", "collect", "distill")
"""Commands whose seed is the run's. The others have seeds of their own: all students are evaluated
in the same episodes."""

UNSHOWN: Final = ("out", "restart", "workers", "checkpoint-seconds")
"""Settings that leave a result as it is."""

OWN: Final = ("out", "restart")
"""Settings that a sweep gives itself."""
