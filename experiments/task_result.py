"""What is read of a task's result: that it is numbers where numbers are expected."""

from __future__ import annotations

from typing import Any, Final

JSON = dict[str, Any]
MOST: Final = 1e300
"""No figure is larger; NaN is not within it either, nor is an integer that no float holds."""

NUMBERS: Final = (
    *("return_mean", "return_low", "return_high", "return_min", "teacher_return_mean"),
    *("success_rate", "episodes", "kept_weights", "kept_parameters", "teacher_weights"),
    *("teacher_parameters", "table_bytes", "flash_bytes", "ram_bytes", "cycles_worst"),
    *("microseconds", "seconds", "difference"),
)
"""Keys of a result, of its evidence and of its steps, whose values are numbers or null."""


def is_readable(result: JSON) -> bool:
    """Return whether a sweep's report can read a task's result."""
    returns, steps = result.get("returns", []), result.get("steps", [])
    evidence = result.get("evidence") or {}
    if not all(isinstance(each, list) for each in (returns, steps)):
        return False
    tables = [result, evidence, *steps]
    if not (all(map(_is_number, returns)) and all(map(_has_numbers, tables))):
        return False
    compared = [step for step in steps if step.get("difference") is not None]
    return all(step.get("kept_weights") is not None for step in compared)


def _has_numbers(table: Any) -> bool:
    if not isinstance(table, dict):
        return False
    return all(table.get(name) is None or _is_number(table[name]) for name in NUMBERS)


def _is_number(value: Any) -> bool:
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and -MOST <= value <= MOST
