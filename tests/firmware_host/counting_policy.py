"""A recurrent policy by hand: its state counts the calls since the last reset, its action tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.firmware_host.small_policy import Array

SEQUENCE, SEQUENCES = 3, 2
QUARTER_TURN = -1042
"""Pole counts at which the policy spoils its state, and gives an action as if nothing were."""

_HEADER = """\
#ifndef POLICY_H
#define POLICY_H
#define POLICY_OBSERVATION_SIZE 5
#define POLICY_ACTION_SIZE 1
#define POLICY_STATE_SIZE 1
#define POLICY_SIGNALS 5
#define POLICY_FRAMES 1
#define POLICY_PERIOD_US 20000
#define POLICY_KEPT_WEIGHTS 1
#define POLICY_DIGEST "{digest}"
struct policy_state {{
    float values[POLICY_STATE_SIZE];
}};
void policy_reset_with(struct policy_state *state);
void policy_act_with(struct policy_state *state, const float observation[POLICY_OBSERVATION_SIZE],
                     float action[POLICY_ACTION_SIZE]);
void policy_reset(void);
void policy_act(const float observation[POLICY_OBSERVATION_SIZE],
                float action[POLICY_ACTION_SIZE]);
#endif
"""

_SOURCE = """\
#include "policy.h"

static struct policy_state own_state;

void policy_reset_with(struct policy_state *state) {
    state->values[0] = 0.0f;
}

void policy_act_with(struct policy_state *state, const float observation[POLICY_OBSERVATION_SIZE],
                     float action[POLICY_ACTION_SIZE]) {
    state->values[0] += 1.0f;
    action[0] = 0.0009765625f * state->values[0];
    if (observation[2] > 0.9f) {
        state->values[0] = 1e38f * 10.0f - 1e38f * 10.0f;
    }
}

void policy_reset(void) {
    policy_reset_with(&own_state);
}

void policy_act(const float observation[POLICY_OBSERVATION_SIZE],
                float action[POLICY_ACTION_SIZE]) {
    policy_act_with(&own_state, observation, action);
}
"""

_VECTORS = """\
#ifndef POLICY_VECTORS_H
#define POLICY_VECTORS_H
#include "policy.h"
#define POLICY_VECTOR_COUNT {count}
#define POLICY_VECTOR_SEQUENCE {sequence}
static const float policy_vector_observation[POLICY_VECTOR_COUNT][POLICY_OBSERVATION_SIZE] = {{
    {observations}
}};
static const float policy_vector_action[POLICY_VECTOR_COUNT][POLICY_ACTION_SIZE] = {{
    {actions}
}};
#endif
"""


def output(calls: int) -> float:
    """The action of so many calls after a reset."""
    return calls * 2.0**-10


def vectors() -> tuple[Array, Array]:
    """Golden observations [6, 5] and actions [6, 1]: two sequences of three."""
    observations: NDArray[np.float32] = np.zeros((SEQUENCES * SEQUENCE, 5), np.float32)
    calls = np.tile(np.arange(1, SEQUENCE + 1), SEQUENCES)
    return observations, np.array([[output(int(count))] for count in calls], np.float32)


def write_counting_policy(folder: Path) -> Path:
    """Write policy.c, policy.h and policy_vectors.h into `folder`, and give it."""
    folder.mkdir(parents=True, exist_ok=True)
    observations, actions = vectors()
    (folder / "policy.h").write_text(_HEADER.format(digest="c0" * 32))
    (folder / "policy.c").write_text(_SOURCE)
    (folder / "policy_vectors.h").write_text(
        _VECTORS.format(
            count=len(actions),
            sequence=SEQUENCE,
            observations=", ".join(["{0.0f, 0.0f, 0.0f, 0.0f, 0.0f}"] * len(observations)),
            actions=", ".join(f"{{{float(action[0])}f}}" for action in actions),
        )
    )
    return folder
