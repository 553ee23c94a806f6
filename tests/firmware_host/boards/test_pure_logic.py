"""The logic that ports share, compiled for this machine with undefined behaviour made fatal."""

from __future__ import annotations

import ctypes
import math
import subprocess
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsectl.firmware_host.boards.board import FIRMWARE, WARNINGS
from sparsectl.firmware_host.boards.microcontroller import COMMON
from sparsectl.firmware_host.compiler import find_compiler
from sparsectl.firmware_host.cores.host import HOST

STRICT = (*WARNINGS, "-Wconversion", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("pure") / "pure.so"
    sources = [COMMON / f"{name}.c" for name in ("deadlines", "duty", "quadrature")]
    sources.append(Path(__file__).parent / "pure_shim.c")
    command = [find_compiler(HOST), *HOST.flags, *STRICT, "-shared", "-fPIC"]
    command += [f"-I{COMMON}", f"-I{FIRMWARE}", "-o", str(library), *map(str, sources)]
    subprocess.run(command, check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.shim_quadrature_step.restype = ctypes.c_int8
    loaded.quadrature_extend.restype = ctypes.c_int32
    loaded.shim_duty.argtypes = [ctypes.c_float, ctypes.c_uint16]
    loaded.shim_duty.restype = ctypes.c_int32
    return loaded


LOST = 2
FORWARDS = (0b00, 0b01, 0b11, 0b10)
"""A | B << 1, A leading."""


def test_quadrature_counts_each_edge_and_its_way(c: ctypes.CDLL) -> None:
    for index, before in enumerate(FORWARDS):
        after, across, behind = (FORWARDS[(index + step) % 4] for step in (1, 2, 3))
        assert c.shim_quadrature_step(before, after) == 1
        assert c.shim_quadrature_step(before, behind) == -1
        assert c.shim_quadrature_step(before, before) == 0
        assert c.shim_quadrature_step(before, across) == LOST


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=200))
def test_quadrature_follows_any_walk(c: ctypes.CDLL, walk: list[int]) -> None:
    position, counted = 0, 0
    for step in walk:
        before = FORWARDS[position % 4]
        position += step
        counted += c.shim_quadrature_step(before, FORWARDS[position % 4])
    assert counted == position


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**15), 2**15 - 1))
def test_a_16_bit_counter_extends_to_32_bits(c: ctypes.CDLL, count: int, moved: int) -> None:
    wanted = (count + moved + 2**31) % 2**32 - 2**31
    assert c.quadrature_extend(count, (count + moved) & 0xFFFF) == wanted


@given(st.floats(-1.0, 1.0, width=32), st.integers(1, 65535))
def test_duty_is_a_rounded_compare_value_and_a_direction(
    c: ctypes.CDLL, duty: float, top: int
) -> None:
    compare = c.shim_duty(duty, top)
    assert abs(compare - duty * top) <= 0.5 + top * 2**-22
    assert abs(compare) <= top


@pytest.mark.parametrize(
    ("duty", "wanted"),
    [(0.0, 0), (1.0, 400), (-1.0, -400), (7.0, 400), (-math.inf, -400), (math.nan, 0), (0.5, 200)],
)
def test_duty_at_its_ends(c: ctypes.CDLL, duty: float, wanted: int) -> None:
    assert c.shim_duty(duty, 400) == wanted


@given(st.integers(0, 2**40), st.integers(0, 200), st.integers(0, 999_999), st.data())
def test_deadlines_stay_on_their_grid(
    c: ctypes.CDLL, due_us: int, skipped: int, late_us: int, data: st.DataObject
) -> None:
    period_us = data.draw(st.integers(max(500, late_us + 1), 1_000_000))
    now_us = due_us + skipped * period_us + late_us
    out = (ctypes.c_uint64 * 3)()
    c.shim_deadline(*map(ctypes.c_uint64, (due_us, now_us)), ctypes.c_uint32(period_us), out)
    assert list(out) == [due_us + (skipped + 1) * period_us, skipped + 1, late_us]


@given(st.integers(2, 255), st.lists(st.integers(0, 511), max_size=600))
def test_the_ring_is_a_queue_that_never_overflows(
    c: ctypes.CDLL, size: int, script: list[int]
) -> None:
    given_steps = (ctypes.c_uint16 * max(1, len(script)))(*script)
    out = (ctypes.c_int16 * (3 * max(1, len(script))))()
    c.shim_ring(ctypes.c_uint8(size), given_steps, ctypes.c_size_t(len(script)), out)
    model: deque[int] = deque()
    for index, step in enumerate(script):
        if step < 256:
            wanted = 1 if len(model) < size - 1 else -1
            if wanted == 1:
                model.append(step)
        else:
            wanted = model.popleft() if model else -1
        assert list(out[3 * index : 3 * index + 3]) == [wanted, len(model), size - 1 - len(model)]
