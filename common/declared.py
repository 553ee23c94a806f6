"""Convert settings given from Python to the types that a configuration declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_type_hints

from sparsectl.common.errors import UserError
from sparsectl.common.signal_ranges import Pair, range_from


def as_declared(config: type, name: str, value: Any) -> Any:
    """Convert `value` to the type of the field `name` of the dataclass `config`: a str becomes a
    Path where a path is declared, and "-5,5" or (-5, 5) becomes a range.

    Raises:
        UserError: the value is not a range, where a range is declared.
    """
    declared = get_type_hints(config).get(name)
    kinds = _kinds(declared)
    if Pair in kinds:
        return _ranges(value)
    if Path in kinds and str not in kinds:
        if isinstance(value, str):
            return Path(value)
        if isinstance(value, (tuple, list)):
            return tuple(Path(each) if isinstance(each, str) else each for each in value)
    return value


def _kinds(declared: Any) -> set[Any]:
    """Return the declared type and all types that it is made of."""
    inner = get_args(declared) if declared is not Pair else ()
    return {declared}.union(*(_kinds(each) for each in inner))


def _ranges(value: Any) -> tuple[Pair, ...]:
    if isinstance(value, str) or (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and not isinstance(value[0], (tuple, list, str))
    ):
        value = (value,)
    try:
        return tuple(
            range_from(each if isinstance(each, str) else ",".join(f"{end}" for end in each))
            for each in value
        )
    except TypeError:
        raise UserError(f"range is {value!r}; give (LOW, HIGH) such as (-5, 5)") from None
