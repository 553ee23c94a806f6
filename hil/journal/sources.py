"""Copy the C that a replay compiles: only the trial's own, and only what `export` writes.

The journal contains the hash of each file that the trial ran. Files are hashed while they are
copied, so what is compiled is what was checked.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, read_whole
from sparsectl.hil.journal.journal import Journal
from sparsectl.policy.folder import POLICY_JSON

NAMES: Final = ("policy.c", "policy.h", "policy_vectors.h")
"""The files that the host board's firmware is built from; what policy.S has for a chip, policy.c
has too."""
MAX_BYTES: Final = 1 << 26

_COMMENT_OR_TEXT = re.compile(
    r"""//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""", re.S
)
_INCLUDE = re.compile(r'#\s*include\s*(<[a-z0-9_]+(/[a-z0-9_]+)*\.h>|"[a-z_]+\.h")\s*')
_DIRECTIVE = re.compile(
    r"#\s*(define|undef|if|ifdef|ifndef|elif|else|endif|error)\b.*"
    r"|#\s*pragma\s+(STDC\s+FP_CONTRACT\s+OFF|clang fp contract\(off\) reassociate\(off\))\s*"
    r"|#\s*pragma\s+GCC\s+optimize\(\"(fp-contract=off|signed-zeros|no-[a-z-]+-math(-[a-z]+)?)\""
    r"(, \"(fp-contract=off|signed-zeros|no-[a-z-]+-math(-[a-z]+)?)\")*\)\s*"
)
_FOREIGN = re.compile(
    r"\b(asm|__asm|__asm__|_Pragma|__attribute__|__attribute|embed|__embed__|incbin)\b|##|%:|\?\?"
)
_PLAIN_ATTRIBUTE = "__attribute__((noinline))"


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each of `NAMES` in the folder, as 64 hexadecimal digits."""
    return {
        name: hashlib.sha256(content).hexdigest()
        for name in NAMES
        if (content := _content(folder / name)) is not None
    }


def copy_sources(journal: Journal, policy: Path, folder: Path, trust: bool) -> None:
    """Copy the C of the policy that the journal names from `policy` to the new `folder`, and
    policy.json where it tells of that C.

    Args:
        journal: contains the hashes; if it is of an earlier version, policy.json must contain them.
        policy: a folder that `sparsectl export` wrote.
        folder: is created.
        trust: accept a folder without recorded hashes.

    Raises:
        UserError: a file is missing, has another hash, or holds what `export` does not write.
    """
    named, by = journal.header.policy_files, "the journal"
    if named is None:
        named, by = _vouched(policy, journal.header.digest), POLICY_JSON
    if named is None and not trust:
        raise UserError(
            f"the journal is of a version that named no hash of policy.c, and {policy} has no "
            f"{POLICY_JSON} of policy {journal.header.digest[:12]}; look at its C yourself, "
            "then add --trust-policy"
        )
    folder.mkdir()
    for name in NAMES:
        content = _content(policy / name)
        if content is None:
            if named is not None and name in named:
                raise UserError(f"{policy} has no {name}; name the policy's folder with --policy")
            continue
        found = hashlib.sha256(content).hexdigest()
        if named is not None and found != named.get(name):
            raise UserError(
                f"{policy / name} has SHA-256 {found[:12]}, {by} names "
                f"{str(named.get(name, 'none'))[:12]}; name the folder of the one that ran by "
                "--policy"
            )
        _check(policy / name, content.decode("utf-8", errors="replace"))
        (folder / name).write_bytes(content)
    said, copied = _vouched(policy, journal.header.digest), file_hashes(folder)
    if said is not None and all(said.get(name) == copied[name] for name in copied):
        (folder / POLICY_JSON).write_bytes(_content(policy / POLICY_JSON) or b"")


def _content(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    return read_whole(path, MAX_BYTES, "export the policy again")


def _vouched(policy: Path, digest: str) -> dict[str, Any] | None:
    """Return the hashes in policy.json, if it exists and belongs to this policy."""
    path = policy / POLICY_JSON
    said = read_json(path) if path.is_file() else None
    if not isinstance(said, dict) or said.get("digest") != digest:
        return None
    return said["files"] if isinstance(said.get("files"), dict) else None


def _check(path: Path, text: str) -> None:
    """Check that compiling the file reads only headers, and that nothing in it runs by itself.

    Raises:
        UserError: the first thing that `export` does not write.
    """
    joined = re.sub(r"\\\r?\n", "", text)
    code = _COMMENT_OR_TEXT.sub(lambda found: found.group(1) or " ", joined)
    found = _FOREIGN.search(code.replace(_PLAIN_ATTRIBUTE, ""))
    if found is not None:
        _refuse(path, found.group(0))
    for line in code.splitlines():
        if line.lstrip().startswith("#"):
            line = line.strip()
            if not (_INCLUDE.fullmatch(line) or _DIRECTIVE.fullmatch(line)):
                _refuse(path, line)


def _refuse(path: Path, what: str) -> None:
    raise UserError(
        f"{path} holds {what[:60]!r}, which `sparsectl export` does not write; export it again"
    )
