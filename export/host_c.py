"""Compile the generated C for this machine and call it from Python."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsectl.common.errors import UserError
from sparsectl.common.files import FULL_DISK, says_full
from sparsectl.export.c_style import CStyle
from sparsectl.export.naming import DEFAULT
from sparsectl.policy.activations import Float32

COMPILERS = ("cc", "gcc", "clang")
FLAGS = "-std=c99 -O2 -ffp-contract=off -Wall -Wextra -Wdouble-promotion -Wfloat-conversion".split()
COMPILE_SECONDS = 120

_LOADED = count()

_BATCH = """\
#include "{{policy}}.h"

void {{policy}}_act_batch(const float *observation, float *action, unsigned long count);

void {{policy}}_act_batch(const float *observation, float *action, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        {{policy}}_act(observation + i * {{POLICY}}_OBSERVATION_SIZE,
                       action + i * {{POLICY}}_ACTION_SIZE);
    }
}
"""


def find_compiler() -> str:
    """Return the path of a C compiler.

    Raises:
        UserError: there is none.
    """
    for name in COMPILERS:
        path = shutil.which(name)
        if path:
            return path
    raise UserError(
        f"no C compiler found (looked for {', '.join(COMPILERS)}); install the package gcc"
    )


def load_c(
    sources: Path, action_size: int, folder: Path, prefix: str = DEFAULT
) -> Callable[[Float32], Float32]:
    """Compile the C with this prefix in `sources` into `folder`; return a function from [count,
    observation_size] to [count, action_size].

    Raises:
        UserError: there is no C compiler, or it fails.
    """
    library, style = load_library(_BATCH, sources, folder, prefix)
    function = library[style.name("act_batch")]
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong]
    function.restype = None

    def act(observations: Float32) -> Float32:
        given: NDArray[np.float32] = np.ascontiguousarray(observations, np.float32)
        actions = np.empty((len(given), action_size), np.float32)
        function(given.ctypes.data, actions.ctypes.data, len(given))
        return actions

    return act


_SEQUENCES = """\
#include "{{policy}}.h"

void {{policy}}_start(float *values);
void {{policy}}_ticks(const float *given, float *made, unsigned long count);
void {{policy}}_run(const float *observation, const unsigned char *resets, float *action,
                unsigned long count);

void {{policy}}_start(float *values)
{
    struct {{policy}}_state state;
    {{policy}}_reset_with(&state);
    for (unsigned k = 0; k < {{POLICY}}_STATE_SIZE; k++) {
        values[k] = state.values[k];
    }
}

void {{policy}}_ticks(const float *given, float *made, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        struct {{policy}}_state state;
        for (unsigned k = 0; k < {{POLICY}}_STATE_SIZE; k++) {
            state.values[k] = given[{{POLICY}}_OBSERVATION_SIZE + k];
        }
        {{policy}}_act_with(&state, given, made);
        for (unsigned k = 0; k < {{POLICY}}_STATE_SIZE; k++) {
            made[{{POLICY}}_ACTION_SIZE + k] = state.values[k];
        }
        given += {{POLICY}}_OBSERVATION_SIZE + {{POLICY}}_STATE_SIZE;
        made += {{POLICY}}_ACTION_SIZE + {{POLICY}}_STATE_SIZE;
    }
}

void {{policy}}_run(const float *observation, const unsigned char *resets, float *action,
                unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        if (resets[i]) {
            {{policy}}_reset();
        }
        {{policy}}_act(observation + i * {{POLICY}}_OBSERVATION_SIZE,
                       action + i * {{POLICY}}_ACTION_SIZE);
    }
}
"""


@dataclass(frozen=True)
class RecurrentC:
    """The C of a policy that keeps a state."""

    start: Float32
    """[state_size]: the state after policy_reset_with. Here and in `ticks` states are in the C's
    own form, floats or whole numbers (`EncodedPolicy.over_floats`)."""
    ticks: Callable[[Float32], Float32]
    """policy_act_with of independent rows: [count, observation and state] to [count, action and
    next state]."""
    run: Callable[[Float32, NDArray[np.bool_]], Float32]
    """policy_act of a sequence, [ticks, observation_size], with policy_reset before the ticks that
    are marked, [ticks]; [ticks, action_size]."""


def load_recurrent_c(
    sources: Path, action_size: int, state_size: int, folder: Path, prefix: str = DEFAULT
) -> RecurrentC:
    """Like `load_c`, for a policy that keeps a state.

    Raises:
        UserError: there is no C compiler, or it fails.
    """
    library, style = load_library(_SEQUENCES, sources, folder, prefix)
    start, ticks, run = (library[style.name(each)] for each in ("start", "ticks", "run"))
    start.argtypes = [ctypes.c_void_p]
    ticks.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong]
    run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong]
    start.restype = ticks.restype = run.restype = None
    begun = np.empty(state_size, np.float32)
    start(begun.ctypes.data)

    def act_with(rows: Float32) -> Float32:
        given: NDArray[np.float32] = np.ascontiguousarray(rows, np.float32)
        made = np.empty((len(given), action_size + state_size), np.float32)
        ticks(given.ctypes.data, made.ctypes.data, len(given))
        return made

    def act(observations: Float32, resets: NDArray[np.bool_]) -> Float32:
        given: NDArray[np.float32] = np.ascontiguousarray(observations, np.float32)
        flags = np.array(resets, np.uint8)
        if flags.shape != (len(given),):
            raise ValueError("give a reset flag a tick")
        flags[:1] = 1
        actions = np.empty((len(given), action_size), np.float32)
        run(given.ctypes.data, flags.ctypes.data, actions.ctypes.data, len(given))
        return actions

    return RecurrentC(begun, act_with, act)


def load_library(
    program: str, sources: Path, folder: Path, prefix: str
) -> tuple[ctypes.CDLL, CStyle]:
    """Compile the C with this prefix in `sources`, with a program that calls it, into `folder`;
    return the library and the style of its names.

    Raises:
        UserError: there is no C compiler, or it fails.
    """
    batch = folder / "batch.c"
    library = folder / f"policy-{next(_LOADED)}.so"  # a name loaded before would be found again
    style = CStyle(prefix)
    batch.write_text(style.render(program), encoding="utf-8")
    source = sources / style.file_names[1]
    compile_c([source, batch], library, sources, ["-shared", "-fPIC"])
    return ctypes.CDLL(str(library)), style


def run_c(sources: Path, observations: Float32, action_size: int, folder: Path) -> Float32:
    """Compile policy.c in `sources` into `folder` and run it on [count, observation_size].

    Raises:
        UserError: there is no C compiler, or it fails.
    """
    return load_c(sources, action_size, folder)(observations)


def compile_c(sources: list[Path], output: Path, include: Path, flags: list[str]) -> None:
    """Compile and link; warnings are no errors here, but they are in the tests.

    Raises:
        UserError: there is no C compiler, or it fails.
    """
    files = [str(path) for path in sources]
    command = [find_compiler(), *FLAGS, *flags, f"-I{include}", "-o", str(output), *files]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS)
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{command[0]} took over {COMPILE_SECONDS} s; give a smaller policy"
        ) from None
    if result.returncode != 0 and says_full(result.stderr):
        raise UserError(f"cannot compile the policy: {FULL_DISK}")
    if result.returncode != 0:
        said = next((line for line in result.stderr.splitlines() if "error" in line), "no message")
        raise UserError(f"{command[0]} does not compile the policy: {said}; try another compiler")
