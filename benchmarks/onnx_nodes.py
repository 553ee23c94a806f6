"""onnx's backend node suite through the reader; writes results/onnx_nodes.json.

    python benchmarks/onnx_nodes.py

The tables of docs/onnx.md come from it: python benchmarks/tables.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from tqdm import tqdm

from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "onnx_nodes.json"


def main() -> None:
    """Run the suite, write what became of each test, and fail where one is wrong."""
    sys.path.insert(0, str(ROOT))
    from tests.policy.onnx_file.node_suite.suite import WRONG, outcomes

    found = list(tqdm(outcomes(), desc="node tests", unit="test", disable=None))
    rows = [
        {"test": o.test, "operators": o.operators, "kind": o.kind, "reason": o.reason}
        for o in found
    ]
    write_json(RESULT, {"onnx": onnx.__version__, "tests": rows, "provenance": provenance()})
    wrong = [o.test for o in found if o.kind == WRONG]
    if wrong:
        sys.exit(f"read and wrong: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
