"""Results on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_result(name: str, result: dict[str, Any]) -> None:
    """Print a command's result as a table of names and figures; nested objects one level deep."""
    console = Console(soft_wrap=True)
    lines = result.get("table")
    if lines is not None:
        print_table(console, lines)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in result.items():
        if key in ("config", "provenance"):
            continue
        table.add_row(f"[bold]{key}[/]", form(value))
    console.print(table)


def print_table(console: Console, lines: list[list[str]]) -> None:
    """Print rows of text whose first row is the head."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, title in enumerate(lines[0]):
        table.add_column(title, justify="left" if i == 0 else "right")
    for row in lines[1:]:
        table.add_row(*row)
    console.print(table)


def form(value: Any) -> str:
    """A figure as people read it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {form(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(form(item) for item in value)
    return "-" if value is None else str(value)
