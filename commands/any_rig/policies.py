"""Policies for any rig, which come with sparsectl, and students' files: written as the policy of
one rig before they are used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sparsectl.commands.any_rig.fixed_point import (
    ENCODING,
    ERROR,
    in_fixed_point,
    units_of,
    write_calibration,
)
from sparsectl.common.errors import UserError
from sparsectl.common.files import atomic_path
from sparsectl.common.scratch import scratch_folder
from sparsectl.common.warning import warn
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.hil.ports.emulated import PREFIX
from sparsectl.plants.bare_rig import Whole, outside_of, whole_rig
from sparsectl.plants.drawing import Ranges, load_ranges
from sparsectl.plants.rig import Rig, load_rig, rig_path

if TYPE_CHECKING:
    from sparsectl.policy.graph import PolicyGraph

FAMILIES = {"any-cartpole": "cartpole", "any-furuta": "furuta"}
"""Names of the policies, and of the rigs that each is for."""

STUDENT_FILE = ".safetensors"


def with_its_rig(command: TrialCommand) -> TrialCommand:
    """Return a trial's settings in which every policy for any rig has become a folder, and the
    rig's file is complete.

    Raises:
        UserError: as `for_rig`.
    """
    emulated = command.port.startswith(PREFIX)
    board = command.port.removeprefix(PREFIX) if emulated else command.board
    if command.compare is None:
        folder, rig = for_rig(command.policy, command.rig, board)
        return replace(command, policy=folder, rig=rig)
    (one, its_rig), (other, others_rig) = (
        for_rig(each, command.rig, board) for each in command.compare
    )
    # A rig file that was made whole is for both.
    rig = others_rig if its_rig == command.rig else its_rig
    return replace(command, compare=(one, other), rig=rig)


def for_rig(policy: Path, rig_name: str | None, board: str = "host") -> tuple[Path, str | None]:
    """Return a policy's folder and its rig's name or file, as they are asked for.

    A policy for any rig is written for this one, into runs/POLICY-RIG/, and beside it the rig's
    file with all that a simulator needs. A folder of that name in the current one comes first. A
    student's file is written as a policy into runs/FOLDER-RIG/, by the folder that it is in. For a
    board that computes floats in software both are written in fixed point.

    Raises:
        UserError: no rig is named, or one that the policy is not for; the file is no student's;
            there is no such board.
    """
    if policy.suffix == STUDENT_FILE and policy.is_file():
        return _exported(policy, rig_name, board), rig_name
    family = FAMILIES.get(str(policy))
    if family is None or policy.exists():
        return policy, rig_name
    if rig_name is None:
        raise UserError(
            f"{policy} is for any rig; name yours with --rig, a TOML file (docs/rigs.md)"
        )
    path, ranges = rig_path(rig_name), load_ranges(family)
    whole = whole_rig(path, ranges)
    rig = whole.rig
    if rig.motor.duties:
        raise UserError(
            f"rig {rig.name} lists [motor] duties to choose from, but {policy} gives continuous "
            "ones; leave the list out"
        )
    warn_outside(whole, ranges, str(policy))
    folder = Path("runs") / f"{policy}-{rig.name}"
    used: str | None = rig_name
    if whole.guessed:
        file = folder / f"{rig.name}.toml"
        used = str(file)
        with atomic_path(file) as temporary:
            temporary.write_text(whole.text, encoding="utf-8")
        warn(
            f"{path} does not give {', '.join(whole.guessed)}; the virtual rig and the size of a "
            f"kick use the middle of what people build ({file})"
        )
    return _write_policy(rig, family, folder, board), used


def warn_outside(whole: Whole, ranges: Ranges, policy: str) -> None:
    """Warn of each number of a rig's file that lies outside what a policy was trained on."""
    for text in outside_of(whole, ranges):
        warn(f"rig {whole.rig.name}: {text}; {policy} was trained only within that range")


def _exported(student: Path, rig_name: str | None, board: str) -> Path:
    """Export a student's file and return the policy's folder.

    Raises:
        UserError: it is no student's, or neither it nor the command names a rig.
    """
    from sparsectl.policy.load import load

    graph = load(student)
    if rig_name is None and graph.rig is None:
        raise UserError(f"{student} names no rig; name one with --rig NAME or --rig FILE.toml")
    rig = rig_path(rig_name) if rig_name else Path(str(graph.rig))
    folder = Path("runs") / f"{student.absolute().parent.name}-{rig.stem}"
    return _write_graph(graph, folder, board, rig)


def _write_policy(rig: Rig, family: str, folder: Path, board: str) -> Path:
    """Export the student of a family for a rig, unless that is there already; return the policy's
    folder."""
    from sparsectl.training.any_rig.deploy import policy_for, read_any, student_path

    return _write_graph(policy_for(read_any(student_path(family)), rig), folder, board, rig, family)


def _write_graph(
    graph: PolicyGraph, folder: Path, board: str, rig: Rig | Path, family: str | None = None
) -> Path:
    """Export a policy into a folder's own for such boards, unless that is there already; return
    it."""
    from sparsectl.export.config import ExportConfig
    from sparsectl.export.pipeline import export_policy
    from sparsectl.policy.onnx_file.writer import write_onnx
    from sparsectl.policy.passes import fold_normaliser

    fixed = in_fixed_point(board)
    out = folder / (f"policy-{ENCODING}" if fixed else "policy")
    with scratch_folder("export") as scratch:
        source = scratch / "policy.onnx"
        write_onnx(fold_normaliser(graph), source)
        if _is_there(out, source):
            return out
        config = ExportConfig(source, out)
        if fixed:
            met = scratch / "met.npz"
            units = units_of(load_rig(rig) if isinstance(rig, Path) else rig, family)
            write_calibration(met, graph, units)
            config = replace(config, encoding=ENCODING, calibration=met, error=ERROR)
        export_policy(config)
    return out


def _is_there(folder: Path, source: Path) -> bool:
    """Return whether a folder holds the export of this file: another trial may be running from
    it."""
    from sparsectl.firmware_host.policy_folder import read_policy_facts
    from sparsectl.policy.load import POLICY_ONNX
    from sparsectl.policy.onnx_file.reader import read_onnx

    try:
        digest = read_onnx(source).digest
        return (
            read_onnx(folder / POLICY_ONNX).digest == digest
            and read_policy_facts(folder).digest == digest
        )
    except UserError:
        return False
