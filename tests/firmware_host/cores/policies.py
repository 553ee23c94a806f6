"""Policies that are written by hand, so that what they must cost or give is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sparsectl.export.c_writer import c_files
from sparsectl.export.encodings.registry import encode
from sparsectl.export.golden import golden_vectors
from sparsectl.policy.folder import GoldenVectors
from sparsectl.policy.graph import PolicyGraph
from tests.firmware_host.small_policy import SmallPolicy, small_policy

_HEADER = """\
#ifndef POLICY_H
#define POLICY_H
#define POLICY_OBSERVATION_SIZE 2
#define POLICY_ACTION_SIZE 1
#define POLICY_SIGNALS 2
#define POLICY_FRAMES 1
#define POLICY_PERIOD_US 0
#define POLICY_KEPT_WEIGHTS 1
#define POLICY_DIGEST "{digest}"
#ifndef __ASSEMBLER__
void policy_act(const float observation[POLICY_OBSERVATION_SIZE], float action[POLICY_ACTION_SIZE]);
#endif
#endif
"""

_ASSEMBLY = """\
    .syntax unified
    .text
    .section .text.policy_act, "ax"
    .global policy_act
    .thumb_func
    .type policy_act, %function
policy_act:
    {lines}
    bx lr
"""

_INTEGER = """\
#include "policy.h"
#include <stdint.h>

static const int16_t weight[2] = {3000, -1234};

void policy_act(const float *observation, float *action)
{
    int32_t sum = 77;
    for (int i = 0; i < 2; i++) {
        const int32_t x = (int32_t)(observation[i] * 1024.0f);
        sum += (int32_t)weight[i] * x;
    }
    sum = sum > 0 ? sum : 0;
    action[0] = (float)(sum >> 6) * 0x1p-14f;
}
"""


def _begin(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "policy.h").write_text(_HEADER.format(digest="0" * 64))
    (folder / "policy_vectors.h").write_text("/* none */\n")


def assembly_policy(folder: Path, lines: str) -> Path:
    """policy_act is these Thumb instructions and a return."""
    _begin(folder)
    (folder / "policy.c").write_text("typedef int nothing;\n")
    (folder / "policy.S").write_text(_ASSEMBLY.format(lines="\n    ".join(lines.split("; "))))
    return folder


def c_policy(folder: Path, body: str) -> Path:
    """policy_act is this C."""
    _begin(folder)
    act = "void policy_act(const float *observation, float *action)\n{\n"
    (folder / "policy.c").write_text(f'#include "policy.h"\n\n{act}{body}\n}}\n')
    return folder


def integer_policy(folder: Path) -> Path:
    """A neuron of int16 weights."""
    _begin(folder)
    (folder / "policy.c").write_text(_INTEGER)
    return folder


def integer_actions(observations: np.ndarray) -> np.ndarray:
    """What `integer_policy` must give, [count, 1]."""
    x = (observations * np.float32(1024)).astype(np.int32)
    total = np.maximum(77 + x @ np.array([3000, -1234], np.int32), 0)
    return ((total >> 6).astype(np.float32) * np.float32(2.0**-14))[:, None]


def float_policy(folder: Path) -> tuple[Path, SmallPolicy]:
    """25-8-1, float32."""
    policy = small_policy()
    return policy.write(folder), policy


def recurrent_policy_folder(
    graph: PolicyGraph, folder: Path, encoding: str = "dense"
) -> tuple[Path, GoldenVectors]:
    """The C of a recurrent policy, and two golden sequences of it."""
    generator = np.random.default_rng(2)
    met = generator.uniform(-1, 1, (10, graph.observation_size + graph.state_size))
    policy = encode(encoding, graph, met.astype(np.float32))
    observations = generator.uniform(-3, 3, (10, graph.observation_size)).astype(np.float32)
    golden = golden_vectors(policy, observations)
    folder.mkdir(parents=True)
    for name, text in c_files(policy, golden, "unknown").items():
        (folder / name).write_text(text)
    return folder, golden
