"""`--portable`: the same C without a union, a #pragma, assembly or a number in hexadecimal, for
compilers and coding rules that do not have these. It is C99 and C++98, and gives the same bits."""

from __future__ import annotations

from typing import Final

NO_ASSEMBLY: Final = """\
/* Portable: no union, no #pragma, no assembly, no number in hexadecimal. What a #pragma would hold
 * is up to the compiler's options: -ffp-contract=off, or what yours calls it. */
#define {{POLICY}}_NO_ASSEMBLY
"""
"""Stands before all else: the conditions for assembly and a chip's own instructions are off."""
