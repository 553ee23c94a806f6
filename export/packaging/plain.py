"""A plain folder: copy the files beside your own."""

from __future__ import annotations

from sparsectl.export.packaging.package import Files, Package, PolicySources


def layout(policy: PolicySources) -> Files:
    return dict(policy.c_files)


PLAIN = Package("plain", "a plain folder of C files", layout)
