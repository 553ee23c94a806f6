"""The packages there are."""

from __future__ import annotations

from pathlib import Path

from sparsectl.common.errors import UserError
from sparsectl.export.c_writer import C_FILES
from sparsectl.export.naming import DEFAULT, c_file_names, renamed
from sparsectl.export.packaging.arduino import ARDUINO
from sparsectl.export.packaging.cmake import CMAKE
from sparsectl.export.packaging.package import Package, PolicySources
from sparsectl.export.packaging.plain import PLAIN
from sparsectl.export.packaging.platformio import PLATFORMIO
from sparsectl.export.packaging.zephyr import ZEPHYR
from sparsectl.policy.graph import PolicyGraph

PACKAGES: dict[str, Package] = {
    package.name: package for package in (PLAIN, ARDUINO, PLATFORMIO, CMAKE, ZEPHYR)
}


def find_package(name: str) -> Package:
    """The package `name`.

    Raises:
        UserError: there is none of that name.
    """
    if name not in PACKAGES:
        raise UserError(f"package {name!r} is not known; use one of {', '.join(PACKAGES)}")
    return PACKAGES[name]


def arrange(name: str, graph: PolicyGraph, folder: Path, prefix: str = DEFAULT) -> list[Path]:
    """Bring the C files that lie flat in `folder` into the layout of the package `name` and under
    the names of `prefix`, in place; the paths of the files that it wrote.

    Raises:
        UserError: no package of that name, or names that the C has already.
    """
    package = find_package(name)
    flat = {path: folder / path for path in C_FILES if (folder / path).is_file()}
    names = dict(zip(C_FILES, c_file_names(prefix), strict=True))
    c_files = {
        names[name]: renamed(path.read_text(encoding="utf-8"), prefix)
        for name, path in flat.items()
    }
    for path in flat.values():
        path.unlink()
    written = []
    for name, text in package.layout(PolicySources(graph, c_files, prefix)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
