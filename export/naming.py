"""`--prefix NAME`: the names of a policy's C, so that several policies live in one program.

The C is written, compiled and verified under the names that start with policy_, POLICY_ and
policy. (files); every one of them is a name that others can see, and nothing else starts so. Under
another prefix each such name changes and nothing else does, which `renamed` checks.
"""

from __future__ import annotations

import re
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

_NAMES: Final = re.compile(r"\b(policy|POLICY)(?=_[A-Za-z0-9_]|\.[chS]\b)")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")


def check_prefix(prefix: str) -> None:
    """Raises:
    UserError: it is no C identifier that names can begin with.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", prefix, re.ASCII):
        raise UserError(
            f"--prefix is {prefix!r}; give a C identifier of letters, digits and _ that starts "
            "with a letter, such as left_arm"
        )
    if len(prefix) > LONGEST:
        raise UserError(f"--prefix has {len(prefix)} characters; give at most {LONGEST}")
    if prefix.lower() in _HEADERS:
        raise UserError(
            f"--prefix is {prefix!r}, and {prefix}.h hides another header; take another"
        )


def c_file_names(prefix: str = DEFAULT) -> tuple[str, ...]:
    """Header, source, golden vectors and assembly, which only some encodings have."""
    return (f"{prefix}.h", f"{prefix}.c", f"{prefix}_vectors.h", f"{prefix}.S")


def renamed(text: str, prefix: str) -> str:
    """`text`, of C or of a build file, with the names of `prefix`.

    Raises:
        UserError: a name would then be one that the text has already.
    """
    if prefix == DEFAULT:
        return text
    own = {"policy": prefix, "POLICY": prefix.upper()}
    changed = _NAMES.sub(lambda found: own[found[1]], text)
    taken = set(_IDENTIFIER.findall(text))
    for name in taken:
        found = _NAMES.match(name)
        if found and _NAMES.sub(lambda found: own[found[1]], name) in taken:
            raise UserError(
                f"--prefix is {prefix!r}, which the policy's own code uses; take another"
            )
    return changed
