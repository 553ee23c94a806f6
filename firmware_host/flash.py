"""`sparsectl flash` writes a firmware to its board with the board's usual tool."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json
from sparsectl.firmware_host.boards import Board, find_board
from sparsectl.firmware_host.build import SUMMARY
from sparsectl.firmware_host.config import FlashConfig
from sparsectl.firmware_host.policy_folder import HEADER, read_policy_facts

TIMEOUT_S: Final = 300.0


def flash(config: FlashConfig) -> dict[str, Any]:
    """Write the firmware in the folder `config.firmware`; the command is shown and then run.

    Returns:
        board, digest, commands.

    Raises:
        UserError: no firmware there or another board's, no tool, no port, or the tool fails.
    """
    folder, built = _built(config.firmware)
    board = find_board(config.board or built["board"])
    if board.name != built["board"]:
        raise UserError(
            f"the firmware in {folder} is for {built['board']}, not {board.name}; build it for "
            f"{board.name}: sparsectl build POLICY --board {board.name}"
        )
    commands = _commands(board, folder, config.port)
    for command in commands:
        _run(command)
    return {"board": board.name, "digest": built["digest"], "commands": commands}


def _built(given: Path) -> tuple[Path, dict[str, Any]]:
    """Return the firmware's folder and the result of its build; for a policy's folder, those of the
    firmware beside it, which must be of that policy."""
    for folder in (given, given.parent / "firmware"):
        if (folder / SUMMARY).is_file():
            built = read_json(folder / SUMMARY)
            if not (isinstance(built, dict) and {"board", "digest"} <= built.keys()):
                raise UserError(f"{folder / SUMMARY} is not as build writes it; build again")
            if folder != given and (given / HEADER).is_file():
                _check_policy(given, folder, built)
            return folder.resolve(), built
    raise UserError(f"no firmware in {given}; name the folder that `sparsectl build` wrote")


def _check_policy(policy: Path, folder: Path, built: dict[str, Any]) -> None:
    """Raise if the firmware beside a policy holds another one: the policy was exported again since,
    or two policies share the folder around them."""
    digest = read_policy_facts(policy).digest
    if digest != built["digest"]:
        raise UserError(
            f"the firmware in {folder} is of policy {str(built['digest'])[:12]}, {policy} is "
            f"{digest[:12]}; build it: sparsectl build {policy} --board {built['board']}"
        )


def _commands(board: Board, folder: Path, port: str | None) -> list[str]:
    if board.programmer is None:
        raise UserError(f"board {board.name} has no flash to write; it runs here")
    if board.programmer.needs_port and port is None:
        raise UserError(
            f"--port is missing; {board.name} is written through its serial port, such as "
            "/dev/ttyACM0 (`sparsectl doctor` lists them)"
        )
    return [shlex.join(command) for command in board.programmer.commands(folder, port)]


def _run(command: str) -> None:
    print(f"$ {command}", file=sys.stderr, flush=True)
    try:
        code = subprocess.run(
            shlex.split(command), stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=TIMEOUT_S
        ).returncode
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{shlex.split(command)[0]} takes over {TIMEOUT_S:.0f} s; is the board connected?"
        ) from error
    if code != 0:
        raise UserError(
            f"{shlex.split(command)[0]} ended with code {code}; its message is above: check the "
            "cable, the port and that no other program holds it"
        )
