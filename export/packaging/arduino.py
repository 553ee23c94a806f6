"""An Arduino library, by the Arduino library specification 1.5 (format 2.2): library.properties,
src/, examples/NAME/NAME.ino."""

from __future__ import annotations

from sparsectl.export.packaging.example import arduino_sketch
from sparsectl.export.packaging.package import VERSION, Files, Package, PolicySources

REQUIRED = (
    "name",
    "version",
    "author",
    "maintainer",
    "sentence",
    "paragraph",
    "category",
    "url",
    "architectures",
)
"""Fields that the specification requires."""

CATEGORY = "Signal Input/Output"
"""One of the specification's categories."""


def layout(policy: PolicySources) -> Files:
    files = {f"src/{name}": text for name, text in policy.c_files.items()}
    files["library.properties"] = _properties(policy)
    files["examples/GoldenVectors/GoldenVectors.ino"] = arduino_sketch(policy.style)
    return files


def _properties(policy: PolicySources) -> str:
    fields = {
        "name": f"Sparsectl_{policy.prefix[0].upper()}{policy.prefix[1:]}",
        "version": VERSION,
        "author": "sparsectl",
        "maintainer": "sparsectl",
        "sentence": "A trained controller as plain C.",
        "paragraph": f"{policy.summary}. No malloc, no libm.",
        "category": CATEGORY,
        "url": "https://docs.arduino.cc/libraries/",
        "architectures": "*",
        "includes": f"{policy.prefix}.h",
    }
    return "".join(f"{name}={value}\n" for name, value in fields.items())


ARDUINO = Package("arduino", "an Arduino library with a sketch", layout, "src")
