"""Read JSON into dataclasses and check each value against the type that its field declares."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sparsectl.common.errors import UserError

Made = TypeVar("Made")

LONGEST = 60
"""How many characters of a wrong value a message shows."""


def from_json(kind: type[Made], said: object, where: str, mend: str) -> Made:
    """Build the dataclass `kind` from a JSON object.

    A field that has a default may be missing, and keys that are no field are ignored, so that one
    release reads what another wrote. A whole number is accepted for a float, and stays an int.

    Args:
        kind: a dataclass; its fields are numbers, text, paths, literals, unions of these, tuples
            and dicts of them, or dataclasses again.
        said: the value that `json.loads` returned.
        where: names the object in an error, such as "journal.bin: header".
        mend: what the user can do about it.

    Raises:
        UserError: the value is not an object, a field is missing, or a field has the wrong type.
    """
    if not isinstance(said, dict):
        raise UserError(f"{where} is {_shown(said)}, not a JSON object; {mend}")
    hints, values = get_type_hints(kind), {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in said:
            place = f"{where}.{field.name}"
            values[field.name] = _value(hints[field.name], said[field.name], place, mend)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise UserError(f"{where} has no {field.name!r}; {mend}")
    return kind(**values)


def _value(hint: Any, said: Any, where: str, mend: str) -> Any:
    """Convert `said` to the type `hint`."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return _one_of(inner, said, where, mend)
    if is_dataclass(kind):
        return from_json(kind, said, where, mend)  # type: ignore[arg-type]
    if kind is tuple and isinstance(said, list):
        return tuple(_value(inner[0], each, f"{where}[{i}]", mend) for i, each in enumerate(said))
    if kind is dict and isinstance(said, dict):
        values = inner[1] if inner else Any
        return {key: _value(values, each, f"{where}.{key}", mend) for key, each in said.items()}
    if kind is Path and isinstance(said, str):
        return Path(said)
    if not _fits(kind, inner, said):
        raise UserError(f"{where} is {_shown(said)}; {mend}")
    return said


def _one_of(kinds: tuple[Any, ...], said: Any, where: str, mend: str) -> Any:
    """Convert `said` to the first type of a union that fits; otherwise raise the error of the last
    one."""
    if said is None and NoneType in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not NoneType)
    for kind in kinds[:-1]:
        try:
            return _value(kind, said, where, mend)
        except UserError:
            continue
    return _value(kinds[-1], said, where, mend)


def _fits(kind: Any, inner: tuple[Any, ...], said: Any) -> bool:
    if kind is Any:
        return True
    if kind is Literal:
        return said in inner and type(said) in {type(each) for each in inner}
    if kind in (int, float):
        return isinstance(said, int | kind) and not isinstance(said, bool)
    return kind in (str, bool, NoneType) and isinstance(said, kind)


def _shown(said: object) -> str:
    text = repr(said)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
