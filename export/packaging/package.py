"""What a package is: where the C files go and what lies beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sparsectl.export.c_style import CStyle
from sparsectl.policy.graph import PolicyGraph

Files = dict[str, str]
"""Path inside the package, with /, to text."""

VERSION = "0.1.0"
"""Of a package's metadata, which wants one; what a policy is, its digest tells."""


@dataclass(frozen=True)
class PolicySources:
    """What export wrote, as a package takes it."""

    graph: PolicyGraph
    c_files: Mapping[str, str]
    """What `export.c_writer.c_files` gives in this style."""
    style: CStyle

    @property
    def sources(self) -> list[str]:
        """The names of what is compiled."""
        return sorted(name for name in self.c_files if name.endswith((".c", ".S")))

    @property
    def prefix(self) -> str:
        """What the names of the C begin with."""
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
    """A way to hand the C to somebody's build."""

    name: str
    summary: str
    layout: Callable[[PolicySources], Files]
    """All files but policy.onnx, which every package has at its root."""
    c_folder: str = "."
    """Where in the package the C lies."""
