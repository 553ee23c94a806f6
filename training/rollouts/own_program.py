"""Start worker processes without running the user's own program again in each of them.

Python imports the file of the program into every new process, where it runs from its first line
unless all that it does stands under `if __name__ == "__main__":`. Workers need that file only if it
defines their environment.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import gymnasium

from sparsectl.training.environments.environments import parts_of

PROGRAM = "__main__"

GUARD = (
    f'put what your program does under `if __name__ == "{PROGRAM}":`, because each worker imports '
    "the file that defines the environment, or move the environment to a module of its own"
)
"""What to do about a program that starts over in its workers."""


def spec_of(environment: str) -> Any:
    """Return how Gymnasium makes the environment, if it is known by an id alone, which the program
    may have registered; else None."""
    return gymnasium.registry.get(parts_of(environment).id)


def defines(environment: str) -> bool:
    """Return whether the program itself defines the environment, or a wrapper of it."""
    if PROGRAM in parts_of(environment).modules:
        return True
    try:
        return PROGRAM.encode() in pickle.dumps(spec_of(environment))
    except Exception:  # what cannot be pickled, such as a lambda, is made by the program
        return True


@contextmanager
def left_out(is_left_out: bool) -> Iterator[None]:
    """While the block runs, processes that it starts do not import the program."""
    program = sys.modules[PROGRAM]
    if is_left_out:
        sys.modules[PROGRAM] = ModuleType(PROGRAM)
    try:
        yield
    finally:
        sys.modules[PROGRAM] = program


def register(spec: Any) -> None:
    """Let Gymnasium know, in a worker, what the program has registered."""
    if spec is not None and spec.id not in gymnasium.registry:
        gymnasium.registry[spec.id] = spec
