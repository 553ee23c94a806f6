"""The command line: find the subcommand, parse its settings, run it, print the result or one line
of error."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, Any, Union

import tyro

from sparsectl.command_line.arguments import parsed
from sparsectl.command_line.config import (
    AdaptConfig,
    ChooseConfig,
    DemoConfig,
    DoctorConfig,
    ParetoConfig,
    SweepConfig,
)
from sparsectl.command_line.former_names import FORMER_RESULTS, in_words
from sparsectl.common.errors import Stopped, UserError
from sparsectl.common.files import FULL, FULL_DISK
from sparsectl.common.interruption import Ending, Terminated, ended_at_once, ended_by_exception
from sparsectl.firmware_host.config import BenchConfig, BuildConfig, FlashConfig
from sparsectl.hil.campaign.config import TrialCommand
from sparsectl.hil.config import IdentifyConfig, ReportConfig
from sparsectl.hil.convert.config import ConvertConfig
from sparsectl.hil.replay.config import ReplayConfig
from sparsectl.training.config import CollectConfig, DistillConfig, EvaluateConfig, TeachConfig

DESCRIPTION = """\
Turn a trained controller into a sparse one for a microcontroller, and prove it on a pendulum.

Start with `sparsectl demo`, which runs the whole pipeline without hardware.
Every command also takes --json (print the result for machines) and --debug (show tracebacks).
`sparsectl --version` prints the version, which a report of a defect should name.

Exit codes: 0 done; 2 your mistake, and a line on stderr says how to fix it; 3 a trial that ended in
a fault of the board; 4 the link to the board or to the live page was lost; 5 some runs of a sweep
failed; 130 stopped by Ctrl-C or an e-stop (128 + N by another signal N); 1 a defect of sparsectl
itself."""

EXTRA_OF_MODULE = {
    "torch": "train",
    "stable_baselines3": "train",
    "tensorboard": "train",
    "mcap": "convert",
    "minari": "minari",
    "pyarrow": "convert",
    "sbx": "jax",
    "nicegui": "live",
    "ray": "ray",
}
"""Packages that an extra of sparsectl installs; the others come with sparsectl itself."""


MISTAKE, DEFECT = 2, 1
"""Exit codes of a user's mistake and of a defect of this project."""


@dataclass(frozen=True)
class Command:
    """A subcommand: the dataclass of its settings, and the `module:function` that runs it."""

    config: type
    function: str


CONFIGS: Mapping[str, type] = {
    "demo": DemoConfig,
    "teach": TeachConfig,
    "collect": CollectConfig,
    "distill": DistillConfig,
    "pareto": ParetoConfig,
    "evaluate": EvaluateConfig,
    "export": ChooseConfig,
    "build": BuildConfig,
    "flash": FlashConfig,
    "bench": BenchConfig,
    "trial": TrialCommand,
    "replay": ReplayConfig,
    "convert": ConvertConfig,
    "identify": IdentifyConfig,
    "adapt": AdaptConfig,
    "report": ReportConfig,
    "sweep": SweepConfig,
    "doctor": DoctorConfig,
}
"""A subcommand's name, in the order of the help → the dataclass of its settings."""

COMMANDS = {name: Command(config, f"commands.{name}:{name}") for name, config in CONFIGS.items()}
"""`sparsectl NAME` runs the function NAME of commands/NAME.py."""


def main() -> None:
    """Run the subcommand that the arguments name and exit with the code that `run` returns."""
    open_standard_streams()
    code = run(sys.argv[1:])
    if code:
        sys.exit(code)


def run(words: list[str]) -> int:
    """Run the subcommand that `words` name and report any error in one line.

    Returns:
        0; 2 after a user's mistake; 3 after a trial's fault, 4 after its lost link; 128 + its
        number after a signal, so 130 after Ctrl-C; 1 after a defect of this project.

    Raises:
        SystemExit: the help or the version is shown, or a trial has said how it ended.
        BaseException: with --debug, whatever ended the command.
    """
    arguments = [word for word in words if word not in ("--json", "--debug")]
    name = arguments[0] if arguments and arguments[0] in COMMANDS else ""
    # Two torch or BLAS threads collapse when another process is busy; work is spread by processes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    config, ending = None, Ending()
    try:
        with ended_by_exception() as ending:
            config = parse(arguments)
            with _only_the_result("--json" in words):
                with ended_at_once(f"sparsectl {name}"):
                    command = load(COMMANDS[name].function)
                result = command(config)
            code = int(result.get("exit_code", 0))
            return _shown(result, "--json" in words, name, code)
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, BrokenPipeError) and config is None:
            _forget_stdout()  # a reader of the help, such as `head`, has seen enough
            return 0
        if "--debug" in words:
            raise
        code, text = _code_and_line(error if isinstance(error, Stopped) else ending.asked or error)
        _say(f"{f'sparsectl {name}'.strip()}: {_as_one_line(text)}")
        if isinstance(error, OSError):
            _forget_stdout()
        return code


def _shown(result: dict[str, Any], as_json: bool, name: str, code: int) -> int:
    """Print the result of a command that is done; return its exit code, which a stdout that takes
    nothing does not hide."""
    try:
        show(result, as_json, FORMER_RESULTS.get(name, frozenset()))
        sys.stdout.flush()
    except BrokenPipeError:  # a reader such as `head` has seen enough
        _forget_stdout()
    except OSError as error:
        _say(f"sparsectl {name}: done, but the result cannot be printed: {error.strerror or error}")
        _forget_stdout()
        return code or MISTAKE
    return code


def open_standard_streams() -> None:
    """Redirect standard streams that the caller has closed (`sparsectl … >&-`) to /dev/null.

    Otherwise the next files that are opened would get their numbers, and what a library prints
    would be written into them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115


@contextlib.contextmanager
def _only_the_result(as_json: bool) -> Iterator[None]:
    """While the block runs with --json, what libraries and the user's environments print on stdout
    goes to stderr: a machine reads stdout. Also for what C code and worker processes print."""
    if not as_json:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _forget_stdout() -> None:
    """Discard what is left of stdout after a full disk or a closed pipe, or Python would report the
    same error again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(line: str) -> None:
    """Print a line on stderr, which may be closed: the exit code still reports the error."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _as_one_line(text: str) -> str:
    """Remove line breaks and control characters from the text, and shorten endless words."""
    plain = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
    return re.sub(r"\S{400,}", lambda word: f"{word[0][:120]} … {word[0][-120:]}", plain)


def _code_and_line(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the line to print for the exception that ended a command."""
    if isinstance(error, UserError):
        return error.exit_code, str(error)
    if isinstance(error, Terminated):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT, "stopped"
    if isinstance(error, MemoryError):
        return MISTAKE, "the memory of this machine does not suffice; give a smaller model or file"
    if isinstance(error, ModuleNotFoundError) and (lacking := _lacking(error)):
        return MISTAKE, lacking
    said = " ".join(str(error).split()) or "no message"
    if isinstance(error, OSError):
        if error.errno in FULL and error.filename is None:  # a write does not say where it failed
            said = f"{error.strerror} ({FULL_DISK})"
        return MISTAKE, f"the system refuses: {said}; mend that and run it again"
    return DEFECT, (
        f"a defect of sparsectl ({type(error).__name__}: {said[:300]}); nothing is wrong with your "
        "command: --debug shows the traceback, please report it"
    )


def parse(arguments: list[str]) -> Any:
    """Parse the arguments into the subcommand's settings.

    Raises:
        UserError: a word is unknown, has a wrong value, or one is missing.
        SystemExit: help or the version was asked for, and printed.
    """
    if arguments == ["--version"]:
        print(f"sparsectl {metadata.version('sparsectl')}")
        raise SystemExit
    if arguments and arguments[0] in COMMANDS:
        name, *words = arguments
        return parsed(COMMANDS[name].config, f"sparsectl {name}", None, in_words(name, words))
    kinds: Any = Union[  # noqa: UP007  a union made from the registry
        tuple(
            Annotated[command.config, tyro.conf.subcommand(name=name)]
            for name, command in COMMANDS.items()
        )
    ]
    return parsed(kinds, "sparsectl", DESCRIPTION, arguments or ["--help"])


def load(function: str) -> Callable[..., dict[str, Any]]:
    """Import and return `module:function` of this package.

    Raises:
        UserError: the module needs a package of an extra that is not installed.
    """
    module_name, function_name = function.split(":")
    try:
        loaded: Callable[..., dict[str, Any]] = getattr(
            importlib.import_module(f"sparsectl.{module_name}"), function_name
        )
    except ModuleNotFoundError as error:
        if (lacking := _lacking(error)) is None:
            raise
        raise UserError(lacking) from error
    return loaded


def _lacking(error: ModuleNotFoundError) -> str | None:
    """Explain how to install a package that an extra brings; None if no extra does."""
    extra = EXTRA_OF_MODULE.get((error.name or "").split(".")[0])
    return extra and f"this command needs {error.name}; pip install 'sparsectl[{extra}]'"


def show(result: dict[str, Any], as_json: bool, former: Set[str] = frozenset()) -> None:
    """Print the result: JSON for machines, otherwise one line per figure, without the keys in
    `former`."""
    if as_json:
        print(json.dumps(result, indent=2, default=str))
        return
    from sparsectl.command_line.terminal import print_result

    print_result({key: value for key, value in result.items() if key not in former})
