"""The files of a user's own environment, on whose code the results of a sweep depend."""

from __future__ import annotations

import importlib.util
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import sparsectl
from sparsectl.training.environments.environments import parts_of


def own_code(env: str, wrappers: Iterable[str]) -> list[Path]:
    """Return the Python files of the modules that an environment and its wrappers are named by
    (`module:Class`): the module's file or, of a package, all of its files. Installed packages have
    none here: their versions change rarely, and not by hand.

    Raises:
        UserError: the environment is no such name.
    """
    parts = parts_of(env)
    named = [name for name in (parts.id, *parts.wrappers, *wrappers) if ":" in name]
    tops = {name.partition(":")[0].partition(".")[0] for name in named}
    return sorted({file for top in tops for file in _files(top)})


def _files(top: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        found = [Path(spec.origin)] if spec.has_location and spec.origin else []
    else:
        folders = map(Path, spec.submodule_search_locations)
        found = [file for folder in folders for file in folder.rglob("*.py")]
    return [file for file in found if file.is_file() and not _is_installed(file.resolve())]


def _is_installed(file: Path) -> bool:
    places = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]
    places.append(Path(str(sparsectl.__file__)).absolute().parent)
    return any(file.is_relative_to(place.resolve()) for place in places)
