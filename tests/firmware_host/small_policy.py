"""A real, small MLP in the form that an exported policy has, written by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_POLICY_C = """\
#include "policy.h"

#define HIDDEN {hidden}

static const float W1[HIDDEN][POLICY_OBSERVATION_SIZE] = {w1};
static const float B1[HIDDEN] = {b1};
static const float W2[HIDDEN] = {w2};

void policy_act(const float observation[POLICY_OBSERVATION_SIZE],
                float action[POLICY_ACTION_SIZE]) {{
    float sum = {b2};
    for (int row = 0; row < HIDDEN; row++) {{
        float unit = B1[row];
        for (int column = 0; column < POLICY_OBSERVATION_SIZE; column++) {{
            unit += W1[row][column] * observation[column];
        }}
        sum += W2[row] * (unit > 0.0f ? unit : 0.0f);
    }}
    action[0] = sum;
    {extra}
}}
"""

_POLICY_H = """\
/*
 * encoding     dense: by hand
 */
#ifndef POLICY_H
#define POLICY_H
#define POLICY_OBSERVATION_SIZE {size}
#define POLICY_ACTION_SIZE 1
#define POLICY_SIGNALS 5
#define POLICY_FRAMES {frames}
#define POLICY_PERIOD_US {period_us}
#define POLICY_KEPT_WEIGHTS {kept}
#define POLICY_DIGEST "{digest}"
#define POLICY_DIGEST_BYTES {{ {digest_bytes} }}
void policy_act(const float observation[POLICY_OBSERVATION_SIZE],
                float action[POLICY_ACTION_SIZE]);
#endif
"""

_VECTORS_H = """\
#ifndef POLICY_VECTORS_H
#define POLICY_VECTORS_H
#include "policy.h"
#define POLICY_VECTOR_COUNT {count}
static const float policy_vector_observation[POLICY_VECTOR_COUNT][POLICY_OBSERVATION_SIZE] = {x};
static const float policy_vector_action[POLICY_VECTOR_COUNT][POLICY_ACTION_SIZE] = {y};
#endif
"""


@dataclass(frozen=True)
class SmallPolicy:
    """25-8-1 with ReLU; `extra` is C that runs last and may spoil `action`."""

    w1: Array
    b1: Array
    w2: Array
    b2: np.float32
    frames: int = 5
    period_us: int = 20_000
    extra: str = ""

    @property
    def digest(self) -> str:
        arrays = (self.w1, self.b1, self.w2, np.array([self.b2]))
        return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()

    def forward(self, observation: Array) -> np.float32:
        """The action for one observation, in the C code's order: bias, then columns ascending."""
        action = self.b2
        for weights, bias, out in zip(self.w1, self.b1, self.w2, strict=True):
            unit = bias
            for weight, value in zip(weights, observation, strict=True):
                unit = unit + weight * value
            action = action + out * (unit if unit > 0 else np.float32(0))
        return np.float32(action)

    def vectors(self, count: int = 6) -> tuple[Array, Array]:
        """Golden observations [count, 25] and actions [count, 1]."""
        random = np.random.default_rng(11)
        observations = random.normal(0, 1, (count, 5 * self.frames)).astype(np.float32)
        actions = np.array([[self.forward(row)] for row in observations], np.float32)
        return observations, actions

    def write(self, folder: Path) -> Path:
        """Write policy.c, policy.h and policy_vectors.h into `folder`, and give it."""
        folder.mkdir(parents=True, exist_ok=True)
        observations, actions = self.vectors()
        digest = self.digest
        source = _POLICY_C.format(
            hidden=len(self.b1),
            w1=_table(self.w1),
            b1=_row(self.b1),
            w2=_row(self.w2),
            b2=_number(self.b2),
            extra=self.extra,
        )
        header = _POLICY_H.format(
            size=5 * self.frames,
            frames=self.frames,
            period_us=self.period_us,
            kept=np.count_nonzero(self.w1) + np.count_nonzero(self.w2),
            digest=digest,
            digest_bytes=", ".join(f"0x{byte:02x}" for byte in bytes.fromhex(digest)),
        )
        vectors = _VECTORS_H.format(
            count=len(observations), x=_table(observations), y=_table(actions)
        )
        (folder / "policy.c").write_text(source)
        (folder / "policy.h").write_text(header)
        (folder / "policy_vectors.h").write_text(vectors)
        return folder


def small_policy(seed: int = 3, extra: str = "", period_us: int = 20_000) -> SmallPolicy:
    """A policy with random weights; its actions are mostly within the motor's duty."""
    random = np.random.default_rng(seed)
    return SmallPolicy(
        w1=random.normal(0, 0.3, (8, 25)).astype(np.float32),
        b1=random.normal(0, 0.1, 8).astype(np.float32),
        w2=random.normal(0, 0.2, 8).astype(np.float32),
        b2=np.float32(0.05),
        extra=extra,
        period_us=period_us,
    )


def _number(value: float) -> str:
    return f"{float(value).hex()}f"


def _row(values: Sequence[float] | Array) -> str:
    return "{" + ", ".join(_number(value) for value in values) + "}"


def _table(rows: Array) -> str:
    return "{" + ", ".join(_row(row) for row in rows) + "}"
