"""A sweep's file: TOML with the settings of all runs, and those in which they differ.

Tables named after commands hold settings of all runs; `[environment.NAME]` and `[method.NAME]` hold
those of some; a `[grid]` lists which of them are combined, and with which seeds and settings. There
may be several, each a `[[grid]]`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_whole
from sparsectl.experiments.lines import Place, lines_of
from sparsectl.experiments.settings import settings_of
from sparsectl.experiments.stages import CHAIN, OWN, SHARED

MOST_BYTES: Final = 2**20
MOST_OF_NAME: Final = 100
"""Greatest number of characters in a name of an environment or method."""
MOST_LEVELS: Final = 20
"""Tables and lists within one another, those of an environment's arguments among them."""
ENVIRONMENT, METHOD, GRID = "environment", "method", "grid"
ARGUMENTS: Final = "env-kwargs"
EXAMPLES: Final = {
    ARGUMENTS: "[{ gravity = 9.8 }, { gravity = 1.6 }]",
    "wrapper": '[["module:Class"], ["module:Other"]]',
}
"""Values of a grid, for settings of which each value is a list."""
COMMON: Final = (*SHARED, "teacher", "seed")
"""Settings that belong to a run and not to one of its commands."""
NOT_HERE: Final = {
    **dict.fromkeys(OWN, "each run has a folder of its own"),
    "trace": "its file would be another's in the next run",
    "compare": "`sparsectl report` compares the runs of a sweep",
}


@dataclass(frozen=True)
class Given:
    """A value, and its place in the file."""

    value: Any
    place: Place


Layer = Mapping[str, Given]
"""Settings by name: `env`, `distill.keep`; and `distill` if the file has that table."""


@dataclass(frozen=True)
class Grid:
    """The axes that are combined, each with its values, in the order of the file."""

    axes: Mapping[str, tuple[Given, ...]]
    place: Place


@dataclass(frozen=True)
class SweepFile:
    """The content of a sweep's file."""

    path: Path
    text: str
    base: Layer
    environments: Mapping[str, Layer]
    methods: Mapping[str, Layer]
    grids: tuple[Grid, ...]

    @cached_property
    def _lines(self) -> Mapping[Place, int]:
        return lines_of(self.text)

    def mistake(self, place: Place, message: str) -> UserError:
        """Return the error for a place, with its line."""
        while place and place not in self._lines:
            place = place[:-1]
        line = self._lines.get(place)
        return UserError(f"{self.path}{'' if line is None else f', line {line}'}: {message}")


def read_sweep(path: Path) -> SweepFile:
    """Read a sweep's file.

    Raises:
        UserError: it cannot be read, is not TOML, or has an unknown key.
    """
    mend = "give the TOML file of a sweep (docs/sweeps.md)"
    try:
        # some editors write a byte order mark
        text = read_whole(path, MOST_BYTES, mend).decode("utf-8-sig")
        said = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: it is not UTF-8 text; {mend}") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not TOML: {error}; mend that line") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply; {mend}") from error
    if _is_deeper(said, MOST_LEVELS):  # a key of ten thousand parts is read without recursion
        raise UserError(f"{path} is nested too deeply; {mend}")
    return _Reader(SweepFile(path, text, {}, {}, {}, ())).read(said)


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(each, levels - 1) for each in inner)


class _Reader:
    """Reads the tables of a file; `file` finds the line of a mistake."""

    def __init__(self, file: SweepFile) -> None:
        self.file = file

    def read(self, said: Mapping[str, Any]) -> SweepFile:
        """Return the content of the file."""
        own = {key: said[key] for key in said if key not in (ENVIRONMENT, METHOD, GRID)}
        file = self.file
        grids = self._grids(said.get(GRID, {}))
        result = SweepFile(
            file.path,
            file.text,
            self._layer(own, ()),
            self._layers(said, ENVIRONMENT),
            self._layers(said, METHOD),
            grids,
        )
        for grid in grids:
            for axis, known in ((ENVIRONMENT, result.environments), (METHOD, result.methods)):
                for given in grid.axes.get(axis, ()):
                    if given.value not in known:
                        raise self._unknown(given, f"no {axis} {given.value!r}", known)
        return result

    def _layers(self, said: Mapping[str, Any], kind: str) -> Mapping[str, Layer]:
        tables = said.get(kind, {})
        if not isinstance(tables, dict):
            raise self.file.mistake((kind,), f"{kind} is no table; write [{kind}.NAME]")
        layers: dict[str, Layer] = {}
        for name, table in tables.items():
            if not isinstance(table, dict):
                said_so = f"{name!r} is not settings of a {kind}; write [{kind}.NAME] above them"
                raise self.file.mistake((kind, name), said_so)
            if why := _unfit(name):
                raise self.file.mistake((kind, name), f"the {kind} {name!r} {why}")
            layers[name] = self._layer(table, (kind, name))
        return layers

    def _layer(self, table: Mapping[str, Any], place: Place) -> dict[str, Given]:
        layer: dict[str, Given] = {}
        is_named = place[:1] in ((ENVIRONMENT,), (METHOD,))
        for key, value in table.items():
            here = (*place, key)
            command, dot, rest = key.partition(".")
            if command in CHAIN and (dot or isinstance(value, dict)):
                layer[command] = Given(None, here)
                inner = {rest: value} if dot else value
                layer |= self._of_command(command, inner, here)
            elif (name := key.replace("_", "-")) in COMMON and not (name == "seed" and is_named):
                layer[name] = Given(self._in_words(name, value, here), here)
            elif key in CHAIN:
                raise self.file.mistake(here, f"{key} is {value!r}; {_as_settings(key, place)}")
            elif name == "seed":
                raise self.file.mistake(
                    here, f"seed cannot be of one {place[0]}; give it in [grid], for all runs"
                )
            else:
                known = [*CHAIN, *COMMON, *(() if place else (GRID, ENVIRONMENT, METHOD))]
                raise self._unknown(Given(key, here), f"{key!r} is not known", known)
        return layer

    def _of_command(
        self, command: str, table: Mapping[str, Any], place: Place, before: str = ""
    ) -> dict[str, Given]:
        known = settings_of(CHAIN[command].config)
        found: dict[str, Given] = {}
        for key, value in table.items():
            name, here = before + key.replace("_", "-"), (*place, key)
            is_group = any(other.startswith(f"{name}.") for other in known)
            if isinstance(value, dict) and is_group:
                found |= self._of_command(command, value, here, f"{name}.")
                continue
            if name not in known:
                said = f"{command} has no setting {name!r}"
                raise self._unknown(Given(name, here), said, known)
            if name in NOT_HERE:
                why = f"{command}.{name} cannot be given in a sweep: {NOT_HERE[name]}; leave it out"
                raise self.file.mistake(here, why)
            found[f"{command}.{name}"] = Given(self._in_words(name, value, here), here)
        return found

    def _in_words(self, name: str, value: Any, place: Place) -> Any:
        """Return a value as the command line has it, where a table of an environment's arguments is
        a JSON object; in a grid, a table is one of several values."""
        if name.rpartition(".")[2] != ARGUMENTS:
            return value
        several = value if isinstance(value, list) else [value]
        try:
            words = [json.dumps(each) if isinstance(each, dict) else each for each in several]
        except TypeError as error:  # TOML has dates, JSON has none
            raise self.file.mistake(
                place, f"{name} is {value!r}; give numbers, text, true or false, lists and tables"
            ) from error
        if place[0] != GRID:
            return words
        pairs = zip(several, words, strict=True)
        return [[word] if isinstance(each, dict) else each for each, word in pairs]

    def _grids(self, said: Any) -> tuple[Grid, ...]:
        if isinstance(said, dict):
            return (self._grid(said, (GRID,)),)
        if isinstance(said, list) and said and all(isinstance(each, dict) for each in said):
            return tuple(self._grid(each, (GRID, str(i))) for i, each in enumerate(said))
        raise self.file.mistake((GRID,), "grid is no table; write [grid], or [[grid]] for several")

    def _grid(self, table: Mapping[str, Any], place: Place) -> Grid:
        names = {key: table[key] for key in table if key in (ENVIRONMENT, METHOD)}
        axes: dict[str, tuple[Given, ...]] = {}
        for name, value in names.items():
            here = (*place, name)
            values = value if isinstance(value, list) else [value]
            if not values or not all(isinstance(each, str) for each in values):
                raise self.file.mistake(here, f"{name} is {value!r}; give names, in a list")
            axes[name] = tuple(Given(each, here) for each in values)
        rest = {key: value for key, value in table.items() if key not in names}
        for name, given in self._layer(rest, place).items():
            if given.value is not None:
                axes[name] = self._values(name, given)
        return Grid(axes, place)

    def _values(self, name: str, given: Given) -> tuple[Given, ...]:
        """Return the values of an axis; each is a list if the setting takes several."""
        values = given.value if isinstance(given.value, list) else [given.value]
        if not values:
            raise self.file.mistake(given.place, f"{name} is an empty list; give its values")
        if is_list(name) and not all(isinstance(each, list) for each in values):
            raise self.file.mistake(
                given.place,
                f"{name} takes several values at once, so its values in a grid are lists, such as "
                f"{EXAMPLES.get(name, '[[64, 64], [128, 128]]')}",
            )
        return tuple(Given(value, given.place) for value in values)

    def _unknown(self, given: Given, said: str, known: Iterable[str]) -> UserError:
        names = list(known)
        near = get_close_matches(str(given.value), names, 1, 0.5)
        last = [name for name in names if name.rpartition(".")[2] == given.value]
        if found := last[:1] or near:
            said += f"; perhaps you meant {found[0]!r}"
        else:
            said += f"; take one of {', '.join(names) or 'none: there is no such table'}"
        return self.file.mistake(given.place, said)


def _as_settings(command: str, place: Place) -> str:
    """Return how a command's settings are given in that table."""
    if place[:1] == (GRID,):
        return f'name its setting in quotes, such as "{command}.SETTING" = [1, 2]'
    named = place[:1] in ((ENVIRONMENT,), (METHOD,))
    return f"write {command}.SETTING" if named else f"write [{command}] above its settings"


def _unfit(name: str) -> str:
    """Return why a name is of no use in logs, tables and figures; empty if it is of use."""
    if len(name) > MOST_OF_NAME:
        return f"has a name of {len(name):,} characters; give it {MOST_OF_NAME} at most"
    return "" if name.isprintable() else "has a character that cannot be printed; take it out"


def is_list(name: str) -> bool:
    """Return whether the setting of that name, such as distill.hidden, takes several values."""
    command, dot, setting = name.partition(".")
    if not dot:
        return name in ("env-kwargs", "wrapper")
    return settings_of(CHAIN[command].config)[setting].is_list
