"""`sparsectl doctor`: what is installed, what is missing, and the command that gets it."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from serial.tools import list_ports

from sparsectl.command_line.config import DoctorConfig
from sparsectl.firmware_host.boards import BOARDS
from sparsectl.firmware_host.tools import TOOLS
from sparsectl.hil.link.discovery import find_boards, serial_ports
from sparsectl.plants.rig import load_rig, rig_names

PACKAGE = Path(__file__).resolve().parent.parent
CHECKOUT = PACKAGE if (PACKAGE / "setup.cfg").is_file() else None
"""The project's folder, where it runs from one; None where it was installed from a wheel."""

TEACHERS_FOLDER = PACKAGE / "training" / "teachers"


@dataclass(frozen=True)
class Check:
    """One thing that a command needs, or could use."""

    name: str
    found: str | None
    """The version or path that was found; None: it is missing."""
    serves: str
    """The commands that want it."""
    mend: str
    """The command that gets it."""


def doctor(config: DoctorConfig) -> dict[str, Any]:
    """Run `sparsectl doctor`."""
    tools = [*_tools(), *_emulators(), *_programmers()]
    checks = [*_python(), *_packages(), *tools, *_boards(), *_teachers(), *_ports(config)]
    rows = [["what", "found", "for", "to get it"]]
    for check in checks:
        mend = check.mend if check.found is None else ""
        rows.append([check.name, check.found or "missing", check.serves, mend])
    return {"checks": [asdict(check) for check in checks], "table": rows}


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", version, "everything", "install Python 3.11 or newer")
    system = f"{platform.system()} {platform.machine()}"
    linux = platform.system() == "Linux"
    yield Check(
        "system",
        system if linux else f"{system}, untested: build, bench and trial need Linux",
        "all of it on Linux; elsewhere teach, collect, distill, evaluate, pareto, export",
        "",
    )


def _packages() -> Iterator[Check]:
    wanted = {
        "numpy onnx onnxruntime safetensors": ("export, bench", ""),
        "mujoco gymnasium pyserial": ("trial, evaluate", ""),
        "torch stable-baselines3 tensorboard": ("teach, distill, SB3 zips", "train"),
        "minari": ("collect and distill with Minari datasets", "minari"),
        "mcap pyarrow": ("convert", "convert"),
        "nicegui": ("trial --live", "live"),
        "sbx-rl": ("teach --backend sbx", "jax"),
    }
    for names, (serves, extra) in wanted.items():
        for name in names.split():
            yield Check(name, _version(name), serves, install_command(extra, CHECKOUT))


def install_command(extra: str, checkout: Path | None) -> str:
    """Return the command that installs the packages of an extra, from a checkout or where a wheel
    was installed."""
    extras = f"[{extra}]" if extra else ""
    if checkout is None:
        return f"pip install 'sparsectl{extras}'"
    return f"pip install -e '{checkout}{extras}'"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _tools() -> Iterator[Check]:
    yield Check("cc", shutil.which("cc"), "export, build, trial", "sudo apt install gcc")
    yield _tool("instruction counts", "valgrind", "bench on this machine")
    yield Check("git", shutil.which("git"), "the revision in results", "sudo apt install git")


def _emulators() -> Iterator[Check]:
    """Return the programs that run a board's firmware here, each with the boards that it is for."""
    serves: dict[str, list[str]] = {}
    for name, board in BOARDS.items():
        for tool in board.emulator.tools if board.emulator else ():
            serves.setdefault(tool, []).append(name)
    for tool, boards in serves.items():
        yield _tool("emulator", tool, f"bench, trial --port emulated: {', '.join(boards)}")


def _programmers() -> Iterator[Check]:
    """Return the programs that write a board's flash."""
    serves: dict[str, list[str]] = {}
    for name, board in BOARDS.items():
        for tool in board.programmer.tools if board.programmer else ():
            serves.setdefault(tool, []).append(name)
    for tool, boards in serves.items():
        yield _tool("programmer", tool, f"flash: {', '.join(boards)}")


def _tool(kind: str, name: str, serves: str) -> Check:
    return Check(f"{kind} {name}", shutil.which(name), serves, f"sudo apt install {TOOLS[name]}")


def _boards() -> Iterator[Check]:
    for name, board in BOARDS.items():
        compilers = filter(None, map(shutil.which, board.compilers))
        mend = f"sudo apt install {board.compiler_package}"
        yield Check(f"board {name}", next(compilers, None), "build, bench", mend)


def _teachers() -> Iterator[Check]:
    for name in rig_names():
        path = TEACHERS_FOLDER / f"{name}.onnx"
        algorithm = " --algo dqn" if load_rig(name).motor.duties else ""
        mend = f"sparsectl teach --env sparsectl/{name}-v0{algorithm}"
        yield Check(f"teacher {name}", path.name if path.is_file() else None, "demo", mend)


def _ports(config: DoctorConfig) -> Iterator[Check]:
    """Find each serial port, with the board that answers on it if asking is allowed."""
    described = {port.device: port.description for port in list_ports.comports()}
    asked = [*serial_ports(config.skip), *config.ask] if config.boards else []
    answers = {found.port: str(found) for found in find_boards(asked)}
    for port in sorted(described.keys() | answers.keys()):
        found = answers.get(port, "not asked")
        if port in described:
            found = f"{found} ({described[port]})"
        yield Check(f"port {port}", found, f"trial --port {port}", "")
