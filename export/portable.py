"""`--portable`: the same C without a union, a #pragma, assembly or a number in hexadecimal, for
compilers and coding rules that do not have these. It is C99 and C++98, and gives the same bits."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

_HEXADECIMAL: Final = re.compile(r"0x[0-9a-f.]+p[+-]?\d+f")

_NO_ASSEMBLY: Final = """\
/* Portable: no union, no #pragma, no assembly, no number in hexadecimal. What a #pragma would hold
 * is up to the compiler's options: -ffp-contract=off, or what yours calls it. */
#define POLICY_NO_ASSEMBLY
"""


def made_portable(source: str) -> str:
    """policy.c with its floats in decimal, nine digits, which keep every bit; the conditions for
    assembly and for a chip's own instructions are off."""
    head, include, rest = source.partition('#include "policy.h"\n')
    return head + include + "\n" + _NO_ASSEMBLY + _HEXADECIMAL.sub(_decimal, rest)


def _decimal(found: re.Match[str]) -> str:
    shown = f"{np.float32(float.fromhex(found[0].removesuffix('f'))):.9g}"
    return f"{shown}f" if set(".e") & set(shown) else f"{shown}.0f"
