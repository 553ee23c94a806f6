"""Random policies in every encoding, those in fixed point the most: their C under the address and
undefined-behaviour sanitizers, its bits against numpy; writes results/sanitized.json.

    python benchmarks/sanitized.py [--graphs 4000]

Half of the policies are random ONNX files, half are graphs that are hard on accumulators. Stop it
and start it again: it resumes where it was, as long as the source is the same.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, its folder is on the path, not the root

from sparsectl.common.errors import UserError  # noqa: E402
from sparsectl.common.files import read_json, write_json  # noqa: E402
from sparsectl.common.provenance import provenance, revision  # noqa: E402
from sparsectl.export.c_style import CStyle  # noqa: E402
from sparsectl.export.c_writer import c_files  # noqa: E402
from sparsectl.export.encodings.encoding import EncodedPolicy  # noqa: E402
from sparsectl.export.encodings.registry import ENCODINGS, FIXED  # noqa: E402
from sparsectl.export.golden import golden_vectors  # noqa: E402
from sparsectl.policy.graph import PolicyGraph  # noqa: E402
from sparsectl.policy.onnx_file.reader import read_onnx  # noqa: E402
from sparsectl.policy.passes import simplify  # noqa: E402
from tests.export.differential.random_files import (  # noqa: E402
    model_of,
    observations_of,
    random_file,
)
from tests.export.steep import steep_graph, steep_observations  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "sanitized.json"
TOGETHER = 10
"""Graphs whose C is one program, and after which the result is written."""
FLAGS = (
    *("-std=c99", "-O0", "-pipe", "-ffp-contract=off"),
    *("-fsanitize=undefined,float-cast-overflow,address", "-fno-sanitize=float-divide-by-zero"),
)
FLOAT_EVERY = 8
"""Graphs of which one is encoded in floating point too, where nothing overflows unseen."""
SECONDS = 600

_MAIN = """\
#include <stdio.h>
#include <stdlib.h>

{declarations}

static const struct {{
    const char *name;
    void (*act)(const float *, float *);
    int observation_size, action_size;
}} policies[] = {{
{rows}
}};

int main(void)
{{
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {{
        size_t inputs = (size_t)policies[i].observation_size;
        size_t outputs = (size_t)policies[i].action_size;
        int count;
        /* Of the exact size, so that a read or a write beside it is seen. */
        float *observation = malloc(inputs * sizeof *observation);
        float *action = malloc(outputs * sizeof *action);
        if (fread(&count, sizeof count, 1, stdin) != 1) return 1;
        fprintf(stderr, "policy %s\\n", policies[i].name);
        while (count--) {{
            if (fread(observation, sizeof *observation, inputs, stdin) != inputs) return 1;
            policies[i].act(observation, action);
            fwrite(action, sizeof *action, outputs, stdout);
        }}
        free(observation);
        free(action);
    }}
    return 0;
}}
"""


@dataclass(frozen=True)
class SanitizedConfig:
    """How long to go on."""

    graphs: int = 4_000
    """Graphs in all; graph N is that of seed N."""
    out: Path = RESULT
    """Where the result stands."""


@dataclass(frozen=True)
class Case:
    """One graph in one encoding."""

    seed: int
    policy: EncodedPolicy
    observations: np.ndarray

    @property
    def name(self) -> str:
        """The prefix of its C."""
        return f"g{self.seed}_{self.policy.encoding.name.replace('-', '_')}"


def main(config: SanitizedConfig) -> None:
    """Run what is missing, write, and fail where something was found."""
    state = _begun(config.out)
    with tqdm(initial=state["graphs"], total=config.graphs, unit="graph", disable=None) as bar:
        for start in range(state["graphs"], config.graphs, TOGETHER):
            end = min(config.graphs, start + TOGETHER)
            cases = [case for seed in range(start, end) for case in _cases(seed, state["refused"])]
            for found in _run(cases):
                state["found"].append(found)
                bar.write(f"FOUND: {found}", file=sys.stderr)
            state["policies"].update(case.policy.encoding.name for case in cases)
            state["calls"] += sum(len(case.observations) for case in cases)
            state["graphs"] = end
            write_json(config.out, state)
            bar.update(end - start)
    print({name: value for name, value in state.items() if name != "provenance"})
    if state["found"]:
        sys.exit(f"{len(state['found'])} policies are not clean; see {config.out}")


def _begun(out: Path) -> dict[str, Any]:
    """What an earlier run of the same source left, or nothing."""
    found = read_json(out) if out.is_file() else {}
    new = {"graphs": 0, "policies": {}, "calls": 0, "refused": {}, "found": []}
    state = found if found.get("provenance", {}).get("revision") == revision() else new
    for name in ("policies", "refused"):
        state[name] = Counter(state[name])
    return state | {"provenance": provenance(), "flags": list(FLAGS)}


def _cases(seed: int, refused: Counter[str]) -> list[Case]:
    """The graph of this seed in each encoding that takes it."""
    found = _graph(seed)
    if found is None:
        refused["to be read"] += 1
        return []
    graph, met, given = found
    cases = []
    for name, encoding in ENCODINGS.items():
        if name not in FIXED and seed // 2 % (FLOAT_EVERY // 2):
            continue
        try:
            if name in FIXED:
                policy = FIXED[name].encode(graph, met, are_met=bool(seed % 4 < 2))
            else:
                policy = encoding.encode(graph, met)
        except UserError:
            refused[name] += 1
        else:
            cases.append(Case(seed, policy, given))
    return cases


def _graph(seed: int) -> tuple[PolicyGraph, np.ndarray, np.ndarray] | None:
    """The graph, the observations that scales are chosen by, and all that it is run on."""
    if seed % 2:
        graph = steep_graph(seed)
        given = steep_observations(graph, seed)
        return graph, given[:60], given
    file = random_file(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model_of(file).SerializeToString())
        try:
            graph = simplify(read_onnx(path))
        except UserError:
            return None
    met, wide = observations_of(file, seed)
    return graph, met, np.concatenate([met[:60], wide])


def _run(cases: list[Case]) -> list[dict[str, Any]]:
    """What the sanitizers say of each, and where its bits are not numpy's."""
    if not cases:
        return []
    with tempfile.TemporaryDirectory(prefix="sparsectl-sanitized-") as name:
        folder = Path(name)
        program = _compiled(cases, folder)
        given = b"".join(
            np.int32(len(case.observations)).tobytes()
            + np.ascontiguousarray(case.observations, np.float32).tobytes()
            for case in cases
        )
        ended = subprocess.run([program], input=given, capture_output=True, timeout=SECONDS)
    found = _said(ended.stderr.decode(errors="replace"), cases)
    if ended.returncode:
        return found or [{"name": "all", "said": f"the program ended with {ended.returncode}"}]
    start = 0
    for case in cases:
        expected = case.policy.forward(case.observations)
        size = expected.size
        actions = np.frombuffer(ended.stdout, np.float32, size, start).reshape(expected.shape)
        start += 4 * size
        same = actions.view(np.uint32) == expected.view(np.uint32)
        if not (same | (np.isnan(actions) & np.isnan(expected))).all():
            found.append({"name": case.name, "said": "other bits than numpy's"})
    return found


def _compiled(cases: list[Case], folder: Path) -> Path:
    """All of them as one program."""
    for case in cases:
        finite = np.zeros((1, case.policy.graph.observation_size), np.float32)
        golden, style = golden_vectors(case.policy, finite), CStyle(case.name)
        files = c_files(case.policy, golden, "sanitized", style=style)
        for name in style.file_names[:2]:
            (folder / name).write_text(files[name], encoding="utf-8")
    rows = [
        f'    {{"{case.name}", {case.name}_act, {case.policy.graph.observation_size}, '
        f"{case.policy.graph.action_size}}},"
        for case in cases
    ]
    declarations = [f'#include "{case.name}.h"' for case in cases]
    text = _MAIN.format(declarations="\n".join(declarations), rows="\n".join(rows))
    (folder / "main.c").write_text(text, encoding="utf-8")
    sources = [f"{case.name}.c" for case in cases]
    command = ["gcc", *FLAGS, "-o", "program", "main.c", *sources, "-lm"]
    subprocess.run(command, cwd=folder, check=True, timeout=SECONDS)
    return folder / "program"


def _said(text: str, cases: list[Case]) -> list[dict[str, Any]]:
    """The first line of the sanitizers for each policy that they speak of."""
    found: dict[str, str] = {}
    running = cases[0].name
    for line in text.splitlines():
        if line.startswith("policy "):
            running = line.split()[1]
        elif re.search(r"runtime error|ERROR: AddressSanitizer", line):
            found.setdefault(running, line)
    return [{"name": name, "said": line} for name, line in found.items()]


if __name__ == "__main__":
    main(tyro.cli(SanitizedConfig))
