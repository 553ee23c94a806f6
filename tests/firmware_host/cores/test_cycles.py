"""The timing of Cortex-M: snippets counted by hand from the manuals, run whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparsectl.firmware_host.cores import CORES
from tests.firmware_host.cores.policies import assembly_policy
from tests.tools import need

RETURN = 3
"""bx lr: 1 and the pipeline's refill of 2; the Cortex-M0 manual has 3."""

LOOP = "movs r2, #10; 1: subs r2, #1; bne 1b"
"""1 + 10 + 9 taken branches of 3 + 1 not taken."""

M0 = [
    (LOOP, 39),
    ("ldr r2, [r0]; ldr r3, [r0, #4]", 4),
    ("ldr r2, [r0]; str r2, [r1]", 4),
    ("push {r4, r5}; pop {r4, r5}", 6),
    ("muls r2, r2, r2; adds r2, #1", 2),
    ("push {lr}; bl 1f; b 2f; 1: bx lr; 2: pop {r2}; mov lr, r2", 2 + 4 + 3 + 3 + 2 + 1),
    ("b 1f; nop; 1: ldm r0!, {r2, r3}", 3 + 3),
]

M3 = [
    (LOOP, 39),
    # The manual's own examples of loads that follow each other (section 3.3.2).
    ("ldr r2, [r0]; ldr r3, [r1]", 3),
    ("movs r2, #4; nop; ldr r3, [r0, r2]; str r3, [r1, #0]", 2 + 3),
    ("movs r2, #0; nop; ldr r3, [r0, r2]; str r0, [r1, r2]", 2 + 3),
    ("movs r2, #0; nop; ldr r3, [r0, r2]; ldr r2, [r1]; ldr r0, [r1, #0]", 2 + 4),
    # An address from the instruction before waits a cycle; from a load it is not pipelined.
    ("adds r2, r0, #4; ldr r3, [r2]", 1 + 3),
    ("str r0, [r1]; ldr r2, [r1]; ldr r3, [r2]", 1 + 2 + 2),
    ("push {r4-r6}; pop {r4-r6}", 4 + 4),
    ("cmp r0, r0; it eq; ldreq r2, [r0]", 1 + 1 + 2),
    ("cmp r0, r0; it ne; ldrne r2, [r0]", 1 + 1 + 1),
    ("cmp r0, r0; ite ne; ldrne r2, [r0]; udiveq r3, r0, r0", 1 + 1 + 1 + 12),
    ("cmp r0, r0; it eq; bxeq lr; nop", 1 + 1 + 3 - RETURN),
    ("cbz r0, 1f; nop; 1: cbnz r0, 2f; nop; 2: nop", 1 + 1 + 3 + 1),
    ("ldrd r2, r3, [r0]; udiv r2, r2, r3", 3 + 12),
]

M4F = [
    *M3,
    ("mla r2, r0, r0, r0; smull r2, r3, r0, r0", 2),
    ("vldr s0, [r0]; vldr s1, [r0, #4]; vmul.f32 s2, s0, s1", 2 + 1 + 1),
    ("vldr s0, [r0]; vmul.f32 s2, s0, s0; vadd.f32 s3, s2, s0", 2 + 1 + 2),
    ("vldr s0, [r0]; vmul.f32 s2, s0, s0; vadd.f32 s3, s0, s0", 2 + 1 + 1),
    ("vldr s0, [r0]; vfma.f32 s2, s0, s0; vstr s2, [r1]", 2 + 3 + 3),
    ("vldr s0, [r0]; vdiv.f32 s2, s0, s0; nop", 2 + 14 + 1),
    ("vldmia r0, {s0-s1}; vpush {s0-s1}; vpop {s0-s1}", 3 + 3 + 3),
    ("vmov s0, r0; vcvt.f32.s32 s0, s0; vmov r2, s0", 1 + 1 + 2),
]


@pytest.mark.parametrize(
    ("core", "lines", "cycles"),
    [
        *(("cortex-m0", *row) for row in M0),
        *(("cortex-m3", *row) for row in M3),
        *(("cortex-m4f", *row) for row in M4F),
        # The Cortex-M7's are this project's estimate: one instruction a cycle, operands awaited.
        ("cortex-m7", LOOP, 1 + 10 + 10 + 9),
        ("cortex-m7", "vldr s0, [r0]; vmul.f32 s2, s0, s0; vadd.f32 s3, s2, s0", 1 + 2 + 3),
        ("cortex-m3", "mla r2, r0, r0, r0; smull r2, r3, r0, r0; smlal r2, r3, r0, r0", 2 + 5 + 7),
    ],
)
def test_a_snippet_takes_what_the_manual_says(
    core: str, lines: str, cycles: int, tmp_path: Path
) -> None:
    need("arm-none-eabi-gcc")
    folder = assembly_policy(tmp_path / "policy", lines)
    work = tmp_path / "work"
    work.mkdir()
    found = CORES[core].measure(folder, work, np.zeros((1, 2), np.float32), 1)
    assert found.cycles == (cycles + RETURN,)
