"""Packages: where the C files go and which files accompany them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sparsectl.export.c_style import CStyle
from sparsectl.policy.graph import PolicyGraph

Files = dict[str, str]
"""Maps a path inside the package, with /, to the file's text."""

VERSION = "0.1.0"
"""Version in a package's metadata, which requires one; the policy is identified by its digest."""


@dataclass(frozen=True)
class PolicySources:
    """The files that export wrote, as a package takes them."""

    graph: PolicyGraph
    c_files: Mapping[str, str]
    """What `export.c_writer.c_files` gives in this style."""
    style: CStyle

    @property
    def sources(self) -> list[str]:
        """Names of the files to compile."""
        return sorted(name for name in self.c_files if name.endswith((".c", ".S")))

    @property
    def prefix(self) -> str:
        """Prefix of the names in the C."""
        return self.style.prefix

    @property
    def summary(self) -> str:
        """One line, plain ASCII."""
        graph = self.graph
        counts = ((graph.observation_size, "observation"), (graph.action_size, "action"))
        given, made = (f"{n} {name}{'s' if n > 1 else ''}" for n, name in counts)
        return (
            f"A controller of {given} and {made}, {graph.kept_weights} weights, "
            f"digest {graph.digest[:16]}"
        )


@dataclass(frozen=True)
class Package:
    """A form in which the C is delivered to a user's build."""

    name: str
    summary: str
    layout: Callable[[PolicySources], Files]
    """All files except policy.onnx, which every package has at its root."""
    c_folder: str = "."
    """Folder of the C within the package."""
