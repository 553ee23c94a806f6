"""Find the line of each key in a TOML file, which tomllib does not report."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

Place = tuple[str, ...]
"""The names of the tables around a key, then its own; an entry of an array is its index as text."""


def lines_of(text: str) -> dict[Place, int]:
    """Return the line, from 1, of each table and key of valid TOML.

    A statement is the shortest sequence of lines that is valid TOML by itself; a value over several
    lines is valid only once it is complete.
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
    """Yield the places of all tables and keys, including nested ones."""
    if isinstance(said, list):
        said = {str(i): each for i, each in enumerate(said) if isinstance(each, dict)}
    for name, value in said.items() if isinstance(said, dict) else ():
        yield (*before, name)
        yield from _places(value, (*before, name))


def _numbered(place: Place, entries: dict[Place, int], is_entry: bool) -> Place:
    """Return the place with the index of the last entry inserted after each array of tables."""
    found: Place = ()
    for depth, name in enumerate(place, 1):
        found = (*found, name)
        if is_entry and depth == len(place):
            entries[found] = entries.get(found, -1) + 1
        if found in entries:
            found = (*found, str(entries[found]))
    return found
