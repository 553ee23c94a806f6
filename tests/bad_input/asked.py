"""What a subcommand takes, read from its config, and words that ask for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from tyro.conf import Positional

from sparsectl import cli

WRITTEN = {"out", "trace", "firmware"}
"""Paths that a command writes to. `flash` reads its firmware; that one is positional."""

SHORT = {
    "transitions": "60",
    "workers": "1",
    "episodes": "2",
    "steps": "20",
    "seconds": "0.1",
    "clock": "lockstep",
    "observations": "50",
    "runs": "3",
    "swing_up_limit_s": "0.1",
    "preset": "quick",
    "boards": "False",
}
"""Where a command does not refuse, it should at least be short."""

AS_IT_IS = {("teach", "steps"), ("export", "episodes")}
"""So few would be refused themselves."""


class Asked(NamedTuple):
    """One thing that a subcommand takes."""

    name: str
    option: str
    """As it is written; empty: it has a place and no name."""
    kind: str
    """The type, in words."""
    default: Any
    is_required: bool

    @property
    def is_read(self) -> bool:
        """Return whether it names a file that is read."""
        return "Path" in self.kind and (self.name not in WRITTEN or not self.option)


def asked_by(command: str) -> list[Asked]:
    """All that the subcommand takes; nested settings by their paths, such as `finetune.steps`."""
    return _asked_in(cli.COMMANDS[command].config, "")


def _asked_in(config: type, prefix: str) -> list[Asked]:
    hints = get_type_hints(config, include_extras=True)
    found = []
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        if dataclasses.is_dataclass(field.default):
            found += _asked_in(hint, f"{prefix}{field.name}.")
        else:
            asked = _asked(field, hint)
            option = asked.option and f"--{prefix}{asked.option[2:]}".replace("_", "-")
            found.append(asked._replace(name=prefix + asked.name, option=option))
    return found


def _asked(field: dataclasses.Field[Any], hint: Any) -> Asked:
    marks = get_args(hint)[1:]
    given = (getattr(mark, "name", None) for mark in marks)
    name = next((one for one in given if one), field.name).replace("_", "-")
    option = "" if get_args(Positional[int])[1] in marks else f"--{name}"
    is_required = field.default is dataclasses.MISSING
    default = None if is_required else field.default
    return Asked(field.name, option, str(hint), default, is_required)


def words(command: str, wanted: Asked, values: list[str], good: dict[str, str], out: Path) -> list:  # type: ignore[type-arg]
    """The command with those values for what is wanted, and what else it cannot do without."""
    made = [command]
    for asked in asked_by(command):
        if asked.name == wanted.name:
            given = values
        elif asked.is_required or (asked.name == "policy" and wanted.name != "compare"):
            given = [
                good[f"{command} {asked.name}"]
                if f"{command} {asked.name}" in good
                else good.get(asked.name, good["policy"])
            ]
        elif asked.name == "out":
            given = [str(out / (asked.default.name if asked.default else "made"))]
        elif asked.name in SHORT and (command, asked.name) not in AS_IT_IS:
            given = [SHORT[asked.name]]
        else:
            continue
        if asked.name == "boards":
            made.append("--no-boards")
        elif not asked.option:
            made += given
        elif len(given) == 1:
            made.append(f"{asked.option}={given[0]}")
        else:
            made += [asked.option, *given]
    return made
