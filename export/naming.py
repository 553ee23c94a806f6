"""`--prefix NAME`: the names of a policy's C, so that several policies live in one program.

Every name that other files of a program can see starts with the prefix: functions and types as it
is, macros in upper case, the files too. What emits C has the prefix from `export.c_style`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from sparsectl.common.errors import UserError

DEFAULT: Final = "policy"
LONGEST: Final = 24
"""C99 promises 31 significant characters of an external name (5.2.4.1), and names get longer."""

_HEADERS: Final = frozenset(
    "arduino assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp "
    "signal stdarg stdbool stddef stdint stdio stdlib string tgmath time wchar wctype".split()
)
"""Headers that a file NAME.h would hide."""

_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")


def check_prefix(prefix: str) -> None:
    """Raises:
    UserError: the prefix is not a C identifier that names can begin with.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", prefix, re.ASCII):
        raise UserError(
            f"--prefix is {prefix!r}; give a C identifier of letters, digits and _ that starts "
            "with a letter, such as left_arm"
        )
    if len(prefix) > LONGEST:
        raise UserError(f"--prefix has {len(prefix)} characters; give at most {LONGEST}")
    if prefix.lower() in _HEADERS:
        raise UserError(f"--prefix is {prefix!r}, and {prefix}.h hides another header; use another")


def c_file_names(prefix: str = DEFAULT) -> tuple[str, str, str, str]:
    """Header, source, golden vectors and assembly, which only some encodings have."""
    return (f"{prefix}.h", f"{prefix}.c", f"{prefix}_vectors.h", f"{prefix}.S")


def check_unused(prefix: str, texts: Iterable[str]) -> None:
    """texts: the policy's C under the default names.

    Raises:
        UserError: with this prefix a name would equal one that the C already has.
    """
    if prefix == DEFAULT:
        return
    names = {name for text in texts for name in _IDENTIFIER.findall(text)}
    for default, other in ((DEFAULT, prefix), (DEFAULT.upper(), prefix.upper())):
        rests = (name.removeprefix(default) for name in names if name.startswith(f"{default}_"))
        if any(other + rest in names for rest in rests):
            raise UserError(
                f"--prefix is {prefix!r}, which the policy's own code uses; use another"
            )
