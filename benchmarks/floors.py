"""Draw the floors of the project, from its imports: docs/floors.svg.

python benchmarks/floors.py [--check]

A package stands above all that it imports; the floors are those of the contract in setup.cfg. An
arrow is an import, as wide as there are many; those that follow from others (a imports b, b imports
c, therefore a may import c) are left out.
"""

from __future__ import annotations

import sys
from collections import Counter
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

import grimp
import matplotlib
import tyro

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "floors"
matplotlib.rcParams["svg.fonttype"] = "none"

from matplotlib import pyplot  # noqa: E402  the backend is chosen before
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch  # noqa: E402

from sparsectl.common.files import atomic_path  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "floors.svg"
WHAT = {
    "experiments": "grids of commands, their report",
    "api": "the commands, from Python",
    "cli": "the command line",
    "commands": "a subcommand, a file",
    "command_line": "settings, arguments, output",
    "hil": "hardware-in-the-loop host",
    "training": "teacher in, student out",
    "export": "policy in; C and its proof out",
    "firmware_host": "firmware, boards, cores",
    "policy": "what a policy is",
    "plants": "what a rig is",
    "protocol": "what goes over the wire",
    "common": "errors, whole files, provenance",
}
"""A line for each package, by its name."""

COLUMNS = {"hil": 5 / 6}
"""Places from left to right, 0 to 1, where the middle of the floor would hide arrows."""

STARTERS = ("__main__", "start")
"""Modules that start the program, above all floors."""

Imports = Counter[tuple[str, str]]


def imports() -> Imports:
    """(importer, imported) → how many of its modules import one of the other's."""
    graph = grimp.build_graph("sparsectl", cache_dir=None)
    found: Imports = Counter()
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            pair = _package(module), _package(other)
            if pair[0] != pair[1] and all(pair):
                found[pair] += 1
    return found


def _package(module: str) -> str:
    """sparsectl.policy.graph → policy; the package itself and what starts it are no rooms."""
    parts = module.split(".")
    return "" if len(parts) < 2 or parts[1] in STARTERS else parts[1]


def floors() -> dict[str, int]:
    """Package → floor, 0 being the ground, as the contract in setup.cfg that `make lint` holds."""
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = settings["importlinter:contract:floors"]["layers"].strip().splitlines()
    return {
        name.strip().removeprefix("sparsectl."): level
        for level, line in enumerate(reversed(lines))
        for name in line.split("|")
    }


def lines_of(package: str) -> tuple[int, int]:
    """Files and lines of Python and C."""
    place = ROOT / "sparsectl" / package
    files = [place.with_suffix(".py")]
    if place.is_dir():
        files = [path for kind in ("*.py", "*.c", "*.h") for path in place.rglob(kind)]
    return len(files), sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def draw(found: Imports, path: Path) -> None:
    """Boxes floor by floor, the ground at the foot."""
    levels = floors()
    top = max(levels.values())
    figure, axes = pyplot.subplots(figsize=(11, 1.7 * (top + 1) + 0.4))
    axes.set_axis_off()
    places: dict[str, tuple[float, float]] = {}
    for level in range(top + 1):
        row = [name for name in levels if levels[name] == level]
        for index, name in enumerate(row):
            places[name] = (COLUMNS.get(name, (index + 0.5) / len(row)) * 12, level * 2.0)
            _box(axes, name, *places[name])
    for (importer, imported), count in sorted(_reduced(found).items()):
        _arrow(axes, places[importer], places[imported], count)
    axes.set_xlim(0, 12)
    axes.set_ylim(-0.9, top * 2 + 0.9)
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def _reduced(found: Imports) -> Imports:
    """Without the imports that lead where others lead too."""
    levels = floors()
    below: dict[str, set[str]] = {name: set() for name in levels}
    for name in sorted(levels, key=levels.__getitem__):
        for importer, imported in found:
            if importer == name:
                below[name] |= {imported} | below[imported]
    direct = {name: {b for a, b in found if a == name} for name in below}
    return Counter(
        {
            (a, b): count
            for (a, b), count in found.items()
            if not any(b in below[c] for c in direct[a] - {b})
        }
    )


def _box(axes: Axes, name: str, x: float, y: float) -> None:
    files, lines = lines_of(name)
    box = FancyBboxPatch(
        (x - 1.3, y - 0.5), 2.6, 1.0, boxstyle="round,pad=0.05", fc="#f3efe6", ec="#555", zorder=3
    )
    axes.add_patch(box)
    words = f"{files} file{'s' * (files > 1)}, {round(lines, -2):,} lines"
    axes.text(x, y + 0.22, name, ha="center", va="center", weight="bold", size=11, zorder=4)
    axes.text(x, y - 0.05, WHAT.get(name, ""), ha="center", va="center", size=7.5, zorder=4)
    axes.text(x, y - 0.3, words, ha="center", va="center", size=7, color="#555", zorder=4)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], count: int) -> None:
    arrow = FancyArrowPatch(
        (start[0], start[1] - 0.5),
        (end[0], end[1] + 0.55),
        arrowstyle="-|>",
        mutation_scale=9,
        connectionstyle="arc3,rad=0.06",
        lw=0.6 + 0.45 * count**0.5,
        color="#7a8fa6",
        alpha=0.75,
        zorder=2,
    )
    axes.add_patch(arrow)


@dataclass(frozen=True)
class FloorsConfig:
    """Draw the floors of the project from its imports."""

    check: bool = False
    """Only look for packages without a line here or a floor; exit code 1 where there are."""


def main(config: FloorsConfig) -> None:
    """Draw or check."""
    found = imports()
    packages = {name for pair in found for name in pair}
    if unknown := (packages - WHAT.keys()) | (packages - floors().keys()):
        sys.exit(f"{', '.join(sorted(unknown))}: no line in {Path(__file__).name}, or no floor")
    if not config.check:
        with atomic_path(PICTURE) as temporary:
            draw(found, temporary)


if __name__ == "__main__":
    main(tyro.cli(FloorsConfig))
