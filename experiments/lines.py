"""Where a key stands in a TOML file: tomllib tells what a file says, but not in which line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

Place = tuple[str, ...]
"""Names of the tables around a key, and its own; an array's entry by its number, as text."""


def lines_of(text: str) -> dict[Place, int]:
    """The line, from 1, of each table and key of a text that is valid TOML.

    A statement is the shortest run of lines that is valid TOML by itself: values over several lines
    are not until they end.
    """
    found: dict[Place, int] = {}
    header: Place = ()
    entries: dict[Place, int] = {}
    for first, statement in _statements(text):
        said = tomllib.loads(statement)
        if not statement.lstrip().startswith("["):
            for place in _places(said):
                found.setdefault((*header, *place), first)
            continue
        place = max(_places(said), key=len)
        is_entry = statement.lstrip().startswith("[[")
        place = place[:-1] if is_entry else place
        header = _numbered(place, entries, is_entry)
        for depth in range(1, len(header) + 1):
            found.setdefault(header[:depth], first)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    first, held = 1, ""
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        first = first if held else number
        held += line
        if not held.strip() or held.strip().startswith("#"):
            held = ""
            continue
        try:
            tomllib.loads(held)
        except tomllib.TOMLDecodeError:
            continue
        yield first, held
        held = ""


def _places(said: Any, before: Place = ()) -> Iterator[Place]:
    """Of all tables and keys of nested ones."""
    if isinstance(said, list):
        said = {str(i): each for i, each in enumerate(said) if isinstance(each, dict)}
    for name, value in said.items() if isinstance(said, dict) else ():
        yield (*before, name)
        yield from _places(value, (*before, name))


def _numbered(place: Place, entries: dict[Place, int], is_entry: bool) -> Place:
    """The place with the number of the latest entry behind each array of tables."""
    found: Place = ()
    for depth, name in enumerate(place, 1):
        found = (*found, name)
        if is_entry and depth == len(place):
            entries[found] = entries.get(found, -1) + 1
        if found in entries:
            found = (*found, str(entries[found]))
    return found
