"""The table of what teacher and students cost on every core."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

from table_row import table_row

from sparsectl.common.files import read_json

RESULT = Path(__file__).resolve().parent / "results" / "hardware.json"
TEACHER = "teacher"


def hardware() -> list[str]:
    """Of each core a row a policy: time, memory, and both beside the teacher's."""
    every = read_json(RESULT)["rows"]
    head = ["core", "policy", "weights", "cycles", "time", "flash", "tables alone", "RAM and stack"]
    lines = [table_row(head), table_row(["---"] * len(head))]
    for board in dict.fromkeys(row["board"] for row in every):
        own = [row for row in every if row["board"] == board]
        teacher = [row for row in own if row["policy"] == TEACHER]
        for policy in dict.fromkeys(row["policy"] for row in own):
            lines.append(table_row(_row([r for r in own if r["policy"] == policy], teacher)))
    return [*lines, "", _returns(every)]


def _row(rows: list[dict[str, Any]], teacher: list[dict[str, Any]]) -> list[str]:
    first = rows[0]
    begin = [f"`{first['board']}`", first["policy"]]
    measured = [row for row in rows if "refused" not in row]
    if not measured:
        return [*begin, "", first["refused"].partition(";")[0], "", "", "", ""]
    compared = [row for row in teacher if "refused" not in row and first["policy"] != TEACHER]

    def average(name: str, of: list[dict[str, Any]] = measured) -> float:
        return mean(row[name] for row in of)

    def fewer(name: str) -> str:
        return f" ({average(name, compared) / average(name):.1f}x less)" if compared else ""

    counted = "instructions" if measured[0]["cycles"] is None else "cycles"
    unit = " instructions" if counted == "instructions" else ""
    memory = mean(row["ram_bytes"] + row["stack_bytes"] for row in measured)
    tables = mean(row["flash"]["tables"] for row in measured)
    return [
        *begin,
        f"{average('kept_weights'):,.0f}",
        f"{average(counted):,.0f}{unit}{fewer(counted)}",
        _time(average("microseconds")) if unit == "" else "",
        f"{average('flash_bytes'):,.0f} B{fewer('flash_bytes')}",
        f"{tables:,.0f} B",
        f"{memory:,.0f} B",
    ]


def _time(microseconds: float) -> str:
    return f"{microseconds / 1000:.2f} ms" if microseconds >= 1000 else f"{microseconds:.0f} µs"


def _returns(every: list[dict[str, Any]]) -> str:
    """One sentence with the returns, which are the same on every core."""
    measured = [row for row in every if "refused" not in row]
    parts = []
    for policy in dict.fromkeys(row["policy"] for row in measured):
        own = {row["seed"]: row["return_mean"] for row in measured if row["policy"] == policy}
        parts.append(f"{policy} {mean(own.values()):.0f}")
    seeds = len({row["seed"] for row in measured if row["policy"] != TEACHER})
    return (
        f"Mean return of {measured[0]['episodes']} episodes, of students over {seeds} seeds: "
        f"{', '.join(parts)}. Flash counts code, tables with their indices, and data."
    )
