"""Print results on the terminal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import IO, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

LEFT_OUT = ("config", "provenance", "table", "choice", "boards", "proof", "returns")
"""Keys that are not printed as lines: they are for machines, already shown, or printed at the
end."""
MOST_ROWS = 24
"""The most rows of a table within a result."""
WIDE = 160
"""Width in columns if the output is not a terminal."""


def print_result(result: dict[str, Any]) -> None:
    """Print a result: its table if it has one, otherwise one line per figure."""
    if "table" in result:
        print_table(result["table"])
        return
    lines: dict[str, Any] = {}
    tables: dict[str, list[dict[str, Any]]] = {}
    for key, value in result.items():
        if key in LEFT_OUT:
            continue
        rows, rest = _rows(value)
        if rows:
            tables[key] = rows
        if rest or not rows:
            lines[key] = rest
    width = max(map(len, lines), default=0)
    for key, value in lines.items():
        print(f"{key:<{width}}  {form(value)}")
    for key, rows in tables.items():
        print(f"\n{key}")
        shown = rows if len(rows) <= MOST_ROWS else grouped(rows)
        print_table(lines_of(shown[:MOST_ROWS]))
        if len(shown) > MOST_ROWS:
            print(f"and {len(shown) - MOST_ROWS} rows more, which --json has")
    for key, text in result.get("proof", {}).items():
        print(f"\n{key}: {text}" if key == "proven" else f"{key}: {text}")


def _rows(value: Any) -> tuple[list[dict[str, Any]], Any]:
    """Split a value into the part that is a table, one row per entry, and the rest."""
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return value, []
    if isinstance(value, dict):
        inner = {key: row for key, row in value.items() if isinstance(row, dict)}
        if len(inner) > 1:
            rows = [{"": key, **row} for key, row in inner.items()]
            return rows, {key: row for key, row in value.items() if key not in inner}
    return [], value


def grouped(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge consecutive rows that differ only in their names into one, named by the first and the
    last; an image would otherwise have one row per pixel."""
    found = []
    for _, run in itertools.groupby(rows, lambda row: {**row, "name": None}):
        first, *others = run
        named = {"name": f"{first.get('name')} to {others[-1].get('name')}"} if others else {}
        found.append(first | named)
    return found


def lines_of(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return a header with all keys and one line per row; a cell is empty if its row lacks the
    key."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [keys, *([form(row[key]) if key in row else "" for key in keys] for row in rows)]


def print_table(lines: list[list[str]], file: IO[str] | None = None) -> None:
    """Print rows of text, on stdout if no file is given; the first row is the head.

    What does not fit beside each other comes below each other, each part with the first column.
    """
    console = Console(highlight=False, file=file)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE, file=file)
    for number, part in enumerate(_parts(lines, console.width)):
        if number:
            console.print()
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in part[0]:
            table.add_column(title, overflow="fold")
        for row in part[1:]:
            table.add_row(*map(escape, row))
        console.print(table)


def _parts(lines: list[list[str]], width: int) -> Iterator[list[list[str]]]:
    """Cut a table between columns, so that no word of a part is broken unless it is alone too wide;
    a sentence may be."""
    words = [max(map(_longest_word, column)) for column in zip(*lines, strict=True)]
    chosen: list[int] = []
    for place in range(1, len(words)):
        taken = words[0] + sum(2 + words[other] for other in [*chosen, place])
        if chosen and taken > width:
            yield [[row[0], *(row[other] for other in chosen)] for row in lines]
            chosen = []
        chosen.append(place)
    yield [[*row[:1], *(row[other] for other in chosen)] for row in lines]


def _longest_word(cell: str) -> int:
    return max(map(len, cell.split()), default=0)


def form(value: Any) -> str:
    """Format a figure for people to read."""
    if isinstance(value, float):
        return f"{value:,.5g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {form(item)}" for key, item in value.items())
    if isinstance(value, list):
        between = "; " if any(isinstance(item, list) for item in value) else ", "
        return between.join(form(item) for item in value)
    return "-" if value is None else str(value)
