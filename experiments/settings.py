"""A command's settings, by their names in a sweep's file, and as words of a command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from tyro.conf import Positional, UseAppendAction

from sparsectl.common.errors import UserError

_POSITIONAL = get_args(Positional[int])[1]
_APPENDED = get_args(UseAppendAction[int])[1]


@dataclass(frozen=True)
class Setting:
    """A setting of a command.

    Attributes:
        field: its path in the dataclass, such as finetune.steps or return_share.
        option: its option on the command line, such as --finetune.steps or --return.
        is_positional: whether it is written without its option.
        is_repeated: whether the option is repeated before each value.
        is_list: whether it takes several values.
        is_bool: whether it is given as --NAME or --no-NAME.
        is_path: whether it names a file or folder.
    """

    field: str
    option: str
    is_positional: bool
    is_repeated: bool
    is_list: bool
    is_bool: bool
    is_path: bool

    def words(self, value: Any) -> list[str]:
        """Return the words that set it to this value.

        Raises:
            UserError: the value is of another kind.
        """
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        if any(isinstance(each, (dict, list)) for each in values):
            raise UserError(f"{self.option} takes {self._kinds()}, not {value!r}")
        if isinstance(value, (list, tuple)) and not self.is_list:
            raise UserError(f"{self.option} takes {self._kinds()}, not {value!r}")
        if self.is_bool:
            if not isinstance(value, bool):
                raise UserError(f"{self.option} takes true or false, not {value!r}")
            return [self.option if value else self.option.replace("--", "--no-", 1)]
        if self.is_list and not values:
            if self.is_repeated or self.is_positional:
                raise UserError(f"{self.option} is an empty list; give a value, or leave it out")
            return [self.option]
        texts = [str(each) for each in values]
        if self.is_positional:
            return texts
        if self.is_list and not self.is_repeated and len(texts) > 1:
            return [self.option, *texts]
        return [f"{self.option}={text}" for text in texts]

    def _kinds(self) -> str:
        return "a list of values" if self.is_list else "one value"


@cache
def settings_of(config: type) -> Mapping[str, Setting]:
    """Return the settings of a command's config by the names of their options, without leading
    dashes; nested settings by their paths."""
    return {setting.option[2:]: setting for setting in _settings(config, "", "")}


def _settings(config: type, fields: str, options: str) -> list[Setting]:
    hints, found = get_type_hints(config, include_extras=True), []
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        name = _option(field.name, hint)
        if dataclasses.is_dataclass(hint):
            inner = f"{fields}{field.name}.", f"{options}{name}."
            found += _settings(hint, *inner)  # type: ignore[arg-type]
            continue
        marks, kinds = get_args(hint)[1:], str(hint)
        found.append(
            Setting(
                field=fields + field.name,
                option=f"--{options}{name}",
                is_positional=_POSITIONAL in marks,
                is_repeated=_APPENDED in marks,
                is_list="tuple[" in kinds,
                is_bool=hint is bool,
                is_path="Path" in kinds,
            )
        )
    return found


def _option(name: str, hint: Any) -> str:
    given = (getattr(mark, "name", None) for mark in get_args(hint)[1:])
    return next((each for each in given if each), name).replace("_", "-")


def value_of(config: Any, setting: Setting) -> Any:
    """Return the value of a setting in a config."""
    for name in setting.field.split("."):
        config = getattr(config, name)
    return config


def words_of(kind: type, values: Mapping[str, Any]) -> list[str]:
    """Return the words of a command line that set these values of a config, by name.

    Raises:
        UserError: a value is of another kind than its setting.
    """
    known = settings_of(kind)
    in_order = sorted(values, key=lambda name: not known[name].is_positional)
    words: list[str] = []
    for name in in_order:
        value = values[name]
        words += known[name].words(str(value) if isinstance(value, Path) else value)
    return words
