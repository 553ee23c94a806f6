"""The registry of packages."""

from __future__ import annotations

from pathlib import Path

from sparsectl.common.errors import UserError
from sparsectl.export.packaging.arduino import ARDUINO
from sparsectl.export.packaging.cmake import CMAKE
from sparsectl.export.packaging.package import Package, PolicySources
from sparsectl.export.packaging.plain import PLAIN
from sparsectl.export.packaging.platformio import PLATFORMIO
from sparsectl.export.packaging.zephyr import ZEPHYR

PACKAGES: dict[str, Package] = {
    package.name: package for package in (PLAIN, ARDUINO, PLATFORMIO, CMAKE, ZEPHYR)
}


def find_package(name: str) -> Package:
    """Return the package `name`.

    Raises:
        UserError: there is none of that name.
    """
    if name not in PACKAGES:
        raise UserError(f"package {name!r} is not known; use one of {', '.join(PACKAGES)}")
    return PACKAGES[name]


def write_package(name: str, sources: PolicySources, folder: Path) -> None:
    """Write the files of the package `name`, all but policy.onnx, into `folder`.

    Raises:
        UserError: there is no package of that name.
    """
    for inside, text in find_package(name).layout(sources).items():
        path = folder / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
