"""Many random files at once: their C is compiled by one call of the compiler.

`sparsectl export` compiles each policy for itself before it writes it. Here it takes the C's word
for that, and what it would have held against the C is kept: the compiled C must give the same bits
on the same observations afterwards, or the file counts as wrong. What the C takes of memory is not
measured.
"""

from __future__ import annotations

import _ctypes
import ctypes
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np

from sparsectl.common.errors import UserError
from sparsectl.export import verify
from sparsectl.export.host_c import compile_c
from tests.export.differential.judge import WRONG, Exported, Verdict, compare, export

Array = np.ndarray

_BATCH = """\
#include "{name}.c"

void {name}_batch(const float *observation, float *action, unsigned long count);

void {name}_batch(const float *observation, float *action, unsigned long count)
{{
    for (unsigned long i = 0; i < count; i++) {{
        {name}_act(observation + i * {NAME}_OBSERVATION_SIZE, action + i * {NAME}_ACTION_SIZE);
    }}
}}
"""


@dataclass
class _Waiting:
    """An exported policy whose C is still to be compiled."""

    exported: Exported
    claims: list[tuple[Array, Array, Array]] = field(default_factory=list)
    """Observations, the reference's actions whose bits the C has to give, and where it may not."""

    @property
    def name(self) -> str:
        return f"seed{self.exported.seed}"


def judge_together(seeds: range) -> Iterator[Verdict]:
    """Export the file of each seed, compile all and compare, in the order of the seeds.

    A seed that ends in another way than export may counts as wrong.
    """
    with tempfile.TemporaryDirectory(prefix="sparsectl-differential-") as name:
        found = [_exported(seed, Path(name)) for seed in seeds]
        waiting = [each for each in found if isinstance(each, _Waiting)]
        if not waiting:
            yield from (each for each in found if isinstance(each, Verdict))
            return
        with _compiled(waiting, Path(name)) as library:
            for each in found:
                yield _verdict(each, library) if isinstance(each, _Waiting) else each


def _exported(seed: int, scratch: Path) -> Verdict | _Waiting:
    folder = scratch / str(seed)
    folder.mkdir()
    claims: list[tuple[Array, Array, Array]] = []

    def same_bits(reference: Array, observations: Array, lost: Callable[[], Array]) -> None:
        claims.append((observations, reference, lost()))

    try:
        with (
            patch.object(verify, "load_c", lambda *where: lambda given: given),
            patch.object(verify, "require_same_bits", same_bits),
            patch("sparsectl.commands.export.need_of_host", lambda folder, golden: ()),
        ):
            found = export(seed, folder, "--prefix", f"seed{seed}")
    except Exception as error:
        return Verdict(seed, "", WRONG, f"{type(error).__name__}: {error}"[:500])
    return found if isinstance(found, Verdict) else _Waiting(found, claims)


@contextmanager
def _compiled(waiting: list[_Waiting], scratch: Path) -> Iterator[ctypes.CDLL]:
    """The C of all of them as one library; it is let go of afterwards."""
    sources = []
    for each in waiting:
        source = each.exported.out / "batch.c"
        source.write_text(_BATCH.format(name=each.name, NAME=each.name.upper()))
        sources.append(source)
    output = scratch / f"{waiting[0].name}.so"
    compile_c(sources, output, scratch, ["-O1", "-pipe", "-shared", "-fPIC"])
    library = ctypes.CDLL(str(output))
    yield library
    _ctypes.dlclose(library._handle)


def _verdict(each: _Waiting, library: ctypes.CDLL) -> Verdict:
    function = getattr(library, f"{each.name}_batch")
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong]
    function.restype = None

    def act(observations: Array, actions: int) -> Array:
        given = np.ascontiguousarray(observations, np.float32)
        found = np.empty((len(given), actions), np.float32)
        function(given.ctypes.data, found.ctypes.data, len(given))
        return found

    try:
        for observations, reference, lost in each.claims:
            found = act(observations, reference.shape[1])
            verify.require_same_bits(reference, found, lambda lost=lost: lost)
    except UserError as error:
        return Verdict(each.exported.seed, each.exported.encoding, WRONG, str(error))
    return compare(each.exported, act)
