"""Builds a board's firmware around an exported policy."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from common.errors import UserError
from common.files import write_json
from firmware_host.boards import Board, find_board
from firmware_host.boards.board import FIRMWARE, WARNINGS
from firmware_host.compiler import compile_object, link, section_sizes
from firmware_host.policy_header import PolicyHeader, read_policy_header
from firmware_host.rig_constants import RigConstants, config_header

__all__ = ["RigConstants", "build_firmware"]

OBSERVATION_SIGNALS: Final = 5
"""Values a frame that a board makes from its two encoders."""

ELF: Final = "firmware.elf"
SUMMARY: Final = "build.json"


def build_firmware(
    policy_dir: Path, board: str | Board, rig: RigConstants, out: Path, flags: Iterable[str] = ()
) -> dict[str, Any]:
    """Compile policy, core and port into ``out/firmware.elf``; replaces an earlier build there.

    Args:
        policy_dir: what `export` wrote: policy.c, policy.h, policy_vectors.h.
        board: name in the registry, or one that is not in it.
        rig: scaling, limits and period.
        out: folder of the firmware; it appears whole or not at all.
        flags: further compiler flags, such as sanitizers.

    Returns:
        elf (path), board, digest, text_bytes, data_bytes, bss_bytes, seconds.

    Raises:
        UserError: unknown board, no compiler, policy files missing or foreign, a policy for another
            period or rig, or `out` holds something else.
    """
    start = time.monotonic()
    target = find_board(board) if isinstance(board, str) else board
    policy = read_policy_header(policy_dir)
    check_fit(policy, rig, policy_dir)
    with new_folder(out) as folder:
        (folder / "firmware_config.h").write_text(config_header(rig, policy, target))
        objects = _compile(target, policy_dir, folder, tuple(flags))
        link(target, objects, folder / ELF, flags)
        for path in objects:
            path.unlink()
        sizes = section_sizes(folder / ELF)
        result = {"elf": str(out / ELF), "board": target.name, "digest": policy.digest, **sizes}
        result["seconds"] = round(time.monotonic() - start, 3)
        write_json(folder / SUMMARY, result)
    return result


def _compile(board: Board, policy_dir: Path, folder: Path, flags: tuple[str, ...]) -> list[Path]:
    """Objects of the policy, the core and the port."""
    core = FIRMWARE / "core"
    includes = tuple(f"-I{path.resolve()}" for path in (folder, policy_dir, core, FIRMWARE))
    own = [*sorted(core.glob("*.c")), *sorted(board.port.glob("*.c"))]
    objects = [
        folder / "policy.o",
        *(folder / f"{source.parent.name}-{source.stem}.o" for source in own),
    ]
    compile_object(board, policy_dir / "policy.c", objects[0], (*WARNINGS, *flags))
    for source, path in zip(own, objects[1:], strict=True):
        compile_object(board, source, path, (*WARNINGS, "-Wconversion", *includes, *flags))
    return objects


def check_fit(policy: PolicyHeader, rig: RigConstants, policy_dir: Path) -> None:
    """See that the policy is one for this rig.

    Raises:
        UserError: other signals, actions or period.
    """
    if policy.signals != OBSERVATION_SIGNALS or policy.action_size != 1:
        raise UserError(
            f"{policy_dir} takes {policy.signals} signals and gives {policy.action_size} actions; "
            f"a pendulum's board has {OBSERVATION_SIGNALS} and 1, export a policy for a rig"
        )
    if policy.observation_size != policy.signals * policy.frames:
        raise UserError(
            f"{policy_dir}: an observation of {policy.observation_size} values is not "
            f"{policy.frames} frames of {policy.signals}; export the policy again"
        )
    if policy.period_us not in (0, rig.period_us):
        raise UserError(
            f"{policy_dir} was trained at a period of {policy.period_us} us, the rig has "
            f"{rig.period_us} us; take the rig that it was trained on"
        )


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of `out` when the block ends without error.

    Raises:
        UserError: `out` cannot be written, or holds something else than an earlier build.
    """
    if out.exists() and not _is_ours(out):
        raise UserError(f"{out} holds something else than a firmware; name another folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    except OSError as error:
        raise UserError(
            f"cannot write {out}: {error.strerror}; name a folder you may write"
        ) from error
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp makes folders that only their owner may enter
        shutil.rmtree(out, ignore_errors=True)
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_ours(out: Path) -> bool:
    return out.is_dir() and ((out / SUMMARY).is_file() or not any(out.iterdir()))
