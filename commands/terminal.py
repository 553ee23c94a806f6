"""Results on the terminal."""

from __future__ import annotations

from typing import IO, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

LEFT_OUT = ("config", "provenance", "table", "choice", "boards")
"""Of a result: for machines, or shown before."""
WIDE = 160
"""Columns where there is no terminal to ask."""


def print_result(result: dict[str, Any]) -> None:
    """Print a result: its table where it has one, else a line a figure."""
    if "table" in result:
        print_table(result["table"])
        return
    shown = {key: form(value) for key, value in result.items() if key not in LEFT_OUT}
    width = max(map(len, shown), default=0)
    for key, text in shown.items():
        print(f"{key:<{width}}  {text}")


def print_table(lines: list[list[str]], file: IO[str] | None = None) -> None:
    """Print rows of text, on stdout if no file is given; the first row is the head."""
    console = Console(highlight=False, file=file)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE, file=file)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in lines[0]:
        table.add_column(title, overflow="fold")
    for row in lines[1:]:
        table.add_row(*map(escape, row))
    console.print(table)


def form(value: Any) -> str:
    """A figure as people read it."""
    if isinstance(value, float):
        return f"{value:,.5g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {form(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(form(item) for item in value)
    return "-" if value is None else str(value)
