"""Random graphs through `sparsectl export`, their C against onnxruntime on the file itself;
writes results/differential.json.

    python benchmarks/differential.py [--graphs 10000]
    python benchmarks/differential.py --recurrent --graphs 200

The second is of files with RNN, GRU and LSTM over sequences, the C compiled with sanitizers; it
writes results/differential_recurrent.json.

Stop it and start it again: it resumes where it was, as long as the source is the same.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from tqdm import tqdm

from sparsectl.common.files import read_json, write_json
from sparsectl.common.provenance import provenance, revision

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "differential.json"
RECURRENT = RESULT.with_name("differential_recurrent.json")
TOGETHER = 50
"""Graphs whose C is compiled together, and after which the result is written."""


@dataclass(frozen=True)
class DifferentialConfig:
    """How long to go on."""

    graphs: int = 10_000
    """Graphs in all; graph N is that of seed N."""
    first: int = 0
    """The first seed, where not 0."""
    recurrent: bool = False
    """Files with a state."""
    out: Path | None = None
    """Where the result stands, in place of results/."""

    @property
    def result(self) -> Path:
        """The result's file."""
        return self.out or (RECURRENT if self.recurrent else RESULT)


def main(config: DifferentialConfig) -> None:
    """Run what is missing, write, and fail where one was exported and wrong."""
    sys.path.insert(0, str(ROOT))
    from tests.export.differential.judge import REFUSED, WRONG
    from tests.export.differential.recurrent import judge_recurrent_ones
    from tests.export.differential.together import judge_together

    judges, together = judge_together, TOGETHER
    if config.recurrent:
        judges, together = judge_recurrent_ones, 1

    state = _begun(config)
    counts: Counter[str] = Counter(state["counts"])
    first, end = config.first + sum(counts.values()), config.first + config.graphs
    with tqdm(initial=first - config.first, total=config.graphs, unit="graph", disable=None) as bar:
        for start in range(first, end, together):
            for verdict in judges(range(start, min(end, start + together))):
                counts[verdict.kind] += 1
                if verdict.kind == WRONG:
                    wrong = {"seed": verdict.seed, "encoding": verdict.encoding}
                    state["wrong"].append(wrong | {"said": verdict.said})
                    bar.write(f"WRONG: {verdict}", file=sys.stderr)
                if verdict.kind == REFUSED:
                    state["refusals"][_kind_of(verdict.said)] += 1
                    if config.recurrent:  # few, so that each can be looked at
                        bar.write(f"refused: {verdict}", file=sys.stderr)
                bar.update()
            write_json(config.result, state | {"counts": dict(counts)})
    print(dict(counts))
    if state["wrong"]:
        sys.exit(f"{len(state['wrong'])} were exported and wrong; see {config.result}")


def _begun(config: DifferentialConfig) -> dict[str, Any]:
    """What an earlier run of the same source left, or nothing."""
    new = {"first": config.first, "counts": {}, "wrong": [], "refusals": {}}
    found = read_json(config.result) if config.result.is_file() else {}
    same = found.get("provenance", {}).get("revision") == revision()
    state = found if same and found.get("first") == config.first else new
    state["refusals"] = Counter(state["refusals"])
    return state | {"provenance": provenance()}


def _kind_of(said: str) -> str:
    """The words of a refusal, without names and numbers."""
    words = said.split(" cannot be exported: ")[-1].split(";")[0].split()
    return " ".join(word for word in words if word.isalpha())[:80]


if __name__ == "__main__":
    main(tyro.cli(DifferentialConfig))
