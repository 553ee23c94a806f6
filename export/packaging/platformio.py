"""A PlatformIO library: library.json, src/, examples/NAME/src/main.cpp with its platformio.ini."""

from __future__ import annotations

import json

from sparsectl.export.packaging.example import arduino_sketch
from sparsectl.export.packaging.package import VERSION, Files, Package, PolicySources

_INI = """\
; pio run -d examples/golden_vectors
[env:uno]
platform = atmelavr
board = uno
framework = arduino
lib_extra_dirs = ../../..
build_flags = -ffp-contract=off
"""


def layout(policy: PolicySources) -> Files:
    files = {f"src/{name}": text for name, text in policy.c_files.items()}
    files["library.json"] = _manifest(policy)
    files["examples/golden_vectors/platformio.ini"] = _INI
    files["examples/golden_vectors/src/main.cpp"] = arduino_sketch(policy.style)
    return files


def _manifest(policy: PolicySources) -> str:
    manifest = {
        "$schema": (
            "https://raw.githubusercontent.com/platformio/platformio-core/develop/platformio/"
            "assets/schema/library.json"
        ),
        "name": f"sparsectl-{policy.prefix.lower().replace('_', '-').rstrip('-')}",
        "version": VERSION,
        "description": f"{policy.summary}; plain C99 without malloc or libm",
        "keywords": ["control", "neural network", "reinforcement learning"],
        "headers": f"{policy.prefix}.h",
        "frameworks": "*",
        "platforms": "*",
        "build": {"flags": ["-ffp-contract=off"]},
        "examples": [
            {
                "name": "Golden vectors",
                "base": "examples/golden_vectors",
                "files": ["platformio.ini", "src/main.cpp"],
            }
        ],
    }
    return json.dumps(manifest, indent=2) + "\n"


PLATFORMIO = Package("platformio", "a PlatformIO library with a project", layout, "src")
