"""A policy of several tasks, with the number of the task as an input: policy_choose of its C, and
the input "task" of its policy.onnx."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from sparsectl.common.errors import UserError
from sparsectl.export.c_style import CStyle
from sparsectl.export.host_c import load_library
from sparsectl.policy.activations import Float32
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.tasks import CHOICE, TASK, heads_of

_HEADER: Final = """
/* The choice of one task, of which {{policy}}_act gives all: gives 1 and the number of the choice;
 * gives 0, and leaves `choice` alone, where there is no such task or the observation has NaN.
 *
 * task: 0 to {{POLICY}}_TASKS - 1, the place of its action above.
 */
int {{policy}}_choose(unsigned task, const float observation[{{POLICY}}_OBSERVATION_SIZE], \
long *choice);
"""

_SOURCE: Final = """
int {{policy}}_choose(unsigned task, const float observation[{{POLICY}}_OBSERVATION_SIZE],
                  long *choice)
{
    float action[{{POLICY}}_ACTION_SIZE];
    if (task >= {{POLICY}}_TASKS) {
        return 0;
    }
    {{policy}}_act(observation, action);
    if (action[task] != action[task]) {
        return 0;
    }
    *choice = (long)action[task];
    return 1;
}
"""

_BATCH: Final = """\
#include "{{policy}}.h"

void {{policy}}_choose_batch(const float *observation, float *action, unsigned long count);

void {{policy}}_choose_batch(const float *observation, float *action, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        for (unsigned task = 0; task < {{POLICY}}_TASKS + 1; task++) {
            long choice;
            if ({{policy}}_choose(task, observation + i * {{POLICY}}_OBSERVATION_SIZE, &choice)) {
                action[i * ({{POLICY}}_TASKS + 1) + task] = (float)choice;
            }
        }
    }
}
"""
"""Asks for one task more than there are, which must leave its place as it is."""


def task_count(graph: PolicyGraph) -> int:
    """Return the number of tasks with a head; 0: the policy is of one task, or keeps a state."""
    return 0 if graph.state_size else len(heads_of(graph.signals()))


def described_tasks(graph: PolicyGraph) -> list[dict[str, Any]]:
    """For policy.json: of each task its number, the name of its action, the number of its first
    choice and how many it has."""
    heads = zip(graph.action, heads_of(graph.signals()), strict=False) if task_count(graph) else ()
    return [
        {"task": number, "name": signal.name, "first": int(signal.low or 0), "choices": count}
        for number, (signal, count) in enumerate(heads)
    ]


def task_macro(graph: PolicyGraph, style: CStyle) -> str:
    """POLICY_TASKS for policy.h; empty where the policy is of one task."""
    return f"#define {style.macro('TASKS')} {task_count(graph)}\n" if task_count(graph) else ""


def task_header(graph: PolicyGraph, style: CStyle) -> str:
    """Return the declaration of policy_choose."""
    return style.render(_HEADER) if task_count(graph) else ""


def task_source(graph: PolicyGraph, style: CStyle) -> str:
    """Return the definition of policy_choose."""
    return style.render(_SOURCE) if task_count(graph) else ""


def check_task_choices(
    graph: PolicyGraph,
    session: onnxruntime.InferenceSession,
    sources: Path,
    folder: Path,
    prefix: str,
    observations: Float32,
    actions: Float32,
) -> None:
    """Hold policy_choose, and policy.onnx with a task given, against the choices of all tasks by
    policy_act and by the "action" of policy.onnx; nothing where the policy is of one task.

    Args:
        graph: the policy.
        session: with its policy.onnx.
        sources: the folder of its C, of this prefix.
        folder: where to compile it.
        prefix: as `--prefix` has it.
        observations: [count, observation_size].
        actions: by policy_act, [count, tasks].

    Raises:
        UserError: one of them gives another choice.
    """
    if not (tasks := task_count(graph)):
        return
    found = _chosen_in_c(observations, tasks, sources, folder, prefix)
    if not np.array_equal(found[:, :tasks], actions) or not np.isnan(found[:, tasks]).all():
        raise UserError(
            f"{prefix}_choose gives another choice than {prefix}_act; this is a defect, report it "
            "with the model"
        )
    for number in range(tasks):
        given = {"observation": observations, TASK: np.array([number], np.int64)}
        every, one = session.run(["action", CHOICE], given)
        if not np.array_equal(one, every[:, [number]]):
            raise UserError(
                f"policy.onnx gives another choice for task {number} alone; this is a defect, "
                "report it with the model"
            )


def _chosen_in_c(
    observations: Float32, tasks: int, sources: Path, folder: Path, prefix: str
) -> Float32:
    """Return what policy_choose chooses, [count, tasks and one more]; NaN where it says that there
    is no choice."""
    library, style = load_library(_BATCH, sources, folder, prefix)
    given = np.ascontiguousarray(observations, np.float32)
    found = np.full((len(given), tasks + 1), np.nan, np.float32)
    library[style.name("choose_batch")](
        ctypes.c_void_p(given.ctypes.data),
        ctypes.c_void_p(found.ctypes.data),
        ctypes.c_ulong(len(given)),
    )
    return found
