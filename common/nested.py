"""Change nested settings by their paths, such as `finetune.steps`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

Config = TypeVar("Config")


def replaced(config: Config, settings: Mapping[str, Any]) -> Config:
    """Return the dataclass with these settings changed; a path reaches into nested dataclasses.

    Raises:
        TypeError: there is no such setting.
    """
    own = {path: value for path, value in settings.items() if "." not in path}
    nested: dict[str, dict[str, Any]] = {}
    for path, value in settings.items():
        outer, dot, inner = path.partition(".")
        if dot:
            nested.setdefault(outer, {})[inner] = value
    for outer, inner_settings in nested.items():
        if not hasattr(config, outer):
            raise TypeError(f"{type(config).__name__} has no setting {outer!r}")
        own[outer] = replaced(own.get(outer, getattr(config, outer)), inner_settings)
    changed: Config = replace(config, **own)  # type: ignore[type-var]
    return changed
