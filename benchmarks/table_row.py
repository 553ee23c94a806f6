"""A row of a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def table_row(cells: Iterable[str]) -> str:
    """Return one line of a table, without its end."""
    return f"| {' | '.join(cells)} |"
