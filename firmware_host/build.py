"""Build a board's firmware around an exported policy."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.common.files import staging_folder, write_json
from sparsectl.common.interruption import signals_held_back
from sparsectl.common.progress import Progress
from sparsectl.firmware_host.boards import Board, find_board
from sparsectl.firmware_host.boards.board import FIRMWARE, WARNINGS
from sparsectl.firmware_host.compiler import compile_object, convert, link, section_sizes
from sparsectl.firmware_host.config_header import config_header
from sparsectl.firmware_host.cores.bench_program import SECTION_FLAGS
from sparsectl.firmware_host.earlier_build import INPUTS, earlier_build, file_digest, inputs_digest
from sparsectl.firmware_host.encoder_budget import check_encoders, encoder_figures
from sparsectl.firmware_host.policy_folder import read_policy_facts
from sparsectl.firmware_host.tick_cost import worst_tick
from sparsectl.plants.rig_constants import RigConstants
from sparsectl.policy.choices import other_duties
from sparsectl.policy.folder import PolicyFacts

OBSERVATION_SIGNALS: Final = 5
"""Number of values per frame that a board makes from its two encoders."""

CONTROL_STACK_BYTES: Final = 256
"""The most stack that the control tick needs besides the policy's own."""
_STATES: Final = 2
"""Numbers of states of a recurrent policy on the stack while golden vectors are replayed."""
_WHOLE_STATE: Final = "POLICY_STATE_IS_WHOLE"
"""What policy.h defines if a value of the state takes two bytes, not four."""

ELF: Final = "firmware.elf"
SUMMARY: Final = "build.json"
_EXPORTED: Final = "exported"
"""Name of the policy's folder within the folder of a build in progress."""


def build_firmware(
    policy_dir: Path,
    board: str | Board,
    rig: RigConstants,
    out: Path,
    flags: Iterable[str] = (),
    measure: bool = False,
) -> dict[str, Any]:
    """Compile policy, core and port into ``out/firmware.elf``, replacing an earlier build there.

    An existing build of the same sources by the same compiler is kept.

    Args:
        policy_dir: what `export` wrote: policy.c, policy.h, policy_vectors.h.
        board: name in the registry, or a board that is not in it.
        rig: gives scaling, limits and period.
        out: folder of the firmware; it appears complete or not at all.
        flags: further compiler flags, such as sanitizers.
        measure: run the firmware in the board's emulator to find the worst case of its control
            tick.

    Returns:
        elf (path), images (paths, as the board's tools want them), board, digest, text_bytes,
        data_bytes, bss_bytes, stack_bytes (an upper bound), flash_bytes and ram_bytes (stack
        included), flash_limit and ram_limit (None where it does not matter), inputs (what it was
        made from, and the ELF itself, as SHA-256), seconds; measured, also the keys of
        `firmware_host.tick_cost.worst_tick` and `firmware_host.encoder_budget.encoder_figures`.

    Raises:
        UserError: unknown board, no compiler, policy files missing or foreign, a policy for another
            period or rig, a firmware larger than the board or (measured) slower than the period or
            the rig's encoders, or `out` holds something else.
    """
    start = time.monotonic()
    target = find_board(board) if isinstance(board, str) else board
    policy = read_policy_facts(policy_dir)
    check_fit(policy, rig, policy_dir)
    budget = check_encoders(target, rig) if measure else None
    header, flags = config_header(rig, policy, target), tuple(flags)
    inputs = inputs_digest(policy_dir, target, header, flags)
    if not measure and (built := earlier_build(out / SUMMARY, out / ELF, inputs)):
        return built
    with new_folder(out) as folder:
        (folder / "firmware_config.h").write_text(header)
        objects = _compile(target, policy_dir, folder, flags, policy)
        _link(target, objects, folder / ELF, flags, policy_dir)
        value = 2 if _WHOLE_STATE in (policy_dir / "policy.h").read_text("utf-8") else 4
        stack = _policy_stack_bytes(objects[0]) + _STATES * value * policy.state_size
        sizes = _sizes(target, folder / ELF, stack)
        _check_sizes(target, sizes, policy_dir)
        for path in folder.iterdir():
            if path.suffix in (".o", ".su") or path.name == _EXPORTED:
                path.unlink()
        images = [str(out / name) for name in _images(target, folder)]
        result: dict[str, Any] = {"elf": str(out / ELF), "images": images, "board": target.name}
        result |= {"digest": policy.digest, **sizes}
        if measure:
            result |= worst_tick(target, folder / ELF, policy_dir, rig.period_us)
            result |= encoder_figures(budget)
        result[INPUTS] = f"{inputs} {file_digest(folder / ELF)}"
        result["seconds"] = round(time.monotonic() - start, 3)
        write_json(folder / SUMMARY, result)
    return result


def _compile(
    board: Board, policy_dir: Path, folder: Path, flags: tuple[str, ...], policy: PolicyFacts
) -> list[Path]:
    """Return the objects of the policy (the first; with assembly if its encoding has some), core
    and port.

    Paths that differ between two builds of the same sources, those of the policy and the firmware,
    are named relative to `folder`, so that a compiler cache recognises the objects.
    """
    core = FIRMWARE / "core"
    (folder / _EXPORTED).symlink_to(policy_dir.resolve())
    own_places = (path.resolve() for path in (core, FIRMWARE, *board.includes))
    includes = tuple(f"-I{place}" for place in (".", _EXPORTED, *own_places))
    flags = (*flags, f"-fdebug-prefix-map={_EXPORTED}={policy_dir.resolve()}")
    objects = []
    # the firmware keeps a recurrent policy's state: policy_act's own one is left out of the link
    sections = SECTION_FLAGS if policy.state_size else ()
    for name, extra in (("policy.c", ("-fstack-usage", *sections)), ("policy.S", ())):
        if (policy_dir / name).is_file():
            objects.append(folder / f"{name.replace('.', '-')}.o")
            # with the core's flags, as it is measured: a board may want its own code smaller
            own, out = (*WARNINGS, *extra, *flags), Path(objects[-1].name)
            compile_object(board.core, Path(_EXPORTED, name), out, own, folder)
    sources = (*sorted(core.glob("*.c")), *board.sources)
    for source in Progress(sources, desc=f"compile for {board.name}", leave=False, delay=2.0):
        objects.append(folder / f"{source.parent.name}-{source.stem}.o")
        strict, out = (*WARNINGS, "-Wconversion", *includes, *flags), Path(objects[-1].name)
        compile_object(board, source.resolve(), out, strict, folder)
    return objects


def _link(
    board: Board, objects: list[Path], elf: Path, flags: Iterable[str], policy_dir: Path
) -> None:
    """Link the objects; the linker's message about too little memory becomes a UserError."""
    try:
        link(board, objects, elf, (*board.link_flags, *flags))
    except UserError as error:
        over = re.search(r"region [`'](\w+)' overflowed by (\d+) bytes", str(error))
        if over is None:
            raise
        memory = "flash" if over.group(1).lower() in ("text", "flash") else "ram"
        raise UserError(
            f"firmware with {policy_dir} is {over.group(2)} bytes too large for the {memory} of "
            f"{board.name}; keep fewer weights, export for that board, or take a larger one"
        ) from error


def _policy_stack_bytes(policy: Path) -> int:
    """Return the sum of all stack frames in policy.c, which no call exceeds."""
    usage = policy.with_suffix(".su")
    if not usage.is_file():
        return 0
    return sum(int(line.split("\t")[1]) for line in usage.read_text().splitlines())


def _sizes(board: Board, elf: Path, policy_stack: int) -> dict[str, Any]:
    sections = section_sizes(elf)
    stack = max(board.stack_bytes, CONTROL_STACK_BYTES + policy_stack)
    return {
        **sections,
        "stack_bytes": stack,
        "flash_bytes": sections["text_bytes"] + sections["data_bytes"],
        "flash_limit": board.flash_bytes,
        "ram_bytes": sections["data_bytes"] + sections["bss_bytes"] + stack,
        "ram_limit": board.ram_bytes,
    }


def _check_sizes(board: Board, sizes: dict[str, Any], policy_dir: Path) -> None:
    for name in ("flash", "ram"):
        taken, there = sizes[f"{name}_bytes"], sizes[f"{name}_limit"]
        if there is not None and taken > there:
            raise UserError(
                f"firmware with {policy_dir} takes {taken} bytes of {name} on {board.name}, which "
                f"has {there}; keep fewer weights, export for that board, or take a larger one"
            )


def _images(board: Board, folder: Path) -> list[str]:
    """Write the files besides the ELF that the board's tools need."""
    names = []
    for kind in board.images:
        names.append(f"firmware.{kind}")
        convert(board, folder / ELF, folder / names[-1], kind)
    return names


def check_fit(policy: PolicyFacts, rig: RigConstants, policy_dir: Path) -> None:
    """Check that the policy fits this rig.

    Raises:
        UserError: signals, actions or period differ.
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
            f"{rig.period_us} us; use the rig that it was trained on"
        )
    if (why := other_duties(policy.choices, rig.duties)) is not None:
        raise UserError(f"{policy_dir} {why}; use the rig that it was trained on")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `out` when the block ends without an error.

    Raises:
        UserError: `out` cannot be written, or contains something other than an earlier build.
    """
    if out.exists() and not _is_ours(out):
        raise UserError(f"{out} holds something other than a firmware; name another folder")
    with staging_folder(out) as folder:
        yield folder
        folder.chmod(0o755)  # staging folders are such as only their owner may enter
        with signals_held_back():  # the earlier build is gone only where this one is there
            shutil.rmtree(out, ignore_errors=True)
            folder.rename(out)


def _is_ours(out: Path) -> bool:
    return out.is_dir() and ((out / SUMMARY).is_file() or not any(out.iterdir()))
