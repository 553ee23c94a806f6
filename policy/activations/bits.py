"""Access to a float's bits in the generated C: by a union, or byte by byte."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

_UNION: Final = """\
/* Reading a union by its other member is C99 (6.5.2.3, note 82). */
typedef union {
    float value;
    uint32_t bits;
} float_bits;
"""

_BY_UNION: Final = {
    "bits_of": """\
static uint32_t bits_of(float value)
{
    float_bits number;
    number.value = value;
    return number.bits;
}
""",
    "float_of": """\
static float float_of(uint32_t bits)
{
    float_bits number;
    number.bits = bits;
    return number.value;
}
""",
}

_BY_BYTES: Final = {
    "bits_of": """\
/* A float's bytes are its bits'; compilers make one move of it. */
static uint32_t bits_of(float value)
{
    uint32_t bits = 0;
    const uint8_t *const from = (const uint8_t *)&value;
    uint8_t *const to = (uint8_t *)&bits;
    to[0] = from[0];
    to[1] = from[1];
    to[2] = from[2];
    to[3] = from[3];
    return bits;
}
""",
    "float_of": """\
static float float_of(uint32_t bits)
{
    float value = 0.0f;
    const uint8_t *const from = (const uint8_t *)&bits;
    uint8_t *const to = (uint8_t *)&value;
    to[0] = from[0];
    to[1] = from[1];
    to[2] = from[2];
    to[3] = from[3];
    return value;
}
""",
}


def bit_functions(names: Set[str], portable: bool) -> str:
    """Return the C definitions of the named ones of bits_of and float_of; empty if none is named.

    portable: without a union.
    """
    forms = _BY_BYTES if portable else _BY_UNION
    used = [text for name, text in forms.items() if name in names]
    if not used:
        return ""
    return "\n".join(used if portable else [_UNION, *used])
