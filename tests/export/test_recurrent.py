"""The C of policies that keep a state, beside its reference: every bit, over long sequences."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl.export.c_style import CStyle
from sparsectl.export.c_writer import c_files
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.encodings.registry import ENCODINGS, FIXED, encode
from sparsectl.export.golden import golden_vectors
from sparsectl.export.host_c import RecurrentC, compile_c, load_recurrent_c
from sparsectl.policy.folder import GoldenVectors, PolicyFacts
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.passes import simplify
from tests.policy.recurrent_policies import random_recurrent, recurrent_graphs, sequence

STRICT = ["-Werror", "-std=c99"]


def met_by(graph: PolicyGraph, count: int = 300) -> np.ndarray:
    """What a tick takes: observations, and states between -1 and 1."""
    generator = np.random.default_rng(5)
    observations = generator.uniform(-3, 3, (count, graph.observation_size))
    states = generator.uniform(-1, 1, (count, graph.state_size))
    return np.concatenate([observations, states], axis=1).astype(np.float32)


def written(policy: EncodedPolicy, folder: Path, style: CStyle) -> RecurrentC:
    observations, _ = sequence(policy.graph, 32)
    folder.mkdir(exist_ok=True)
    files = c_files(policy, golden_vectors(policy, observations), "unknown", style=style)
    for name, text in files.items():
        (folder / name).write_text(text)
    compile_c([folder / style.file_names[1]], folder / "p.o", folder, [*STRICT, "-c"])
    sizes = policy.graph.action_size, policy.graph.state_size
    return load_recurrent_c(folder, *sizes, folder, style.prefix)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_c_repeats_ten_thousand_ticks(encoding: str, tmp_path: Path) -> None:
    graph = simplify(
        random_recurrent((5, 4), encoder=6, normalised=True, starts_at_zero=False, kept=0.7)
    )
    policy = encode(encoding, graph, met_by(graph))
    observations, resets = sequence(graph, 10_000)
    c = written(policy, tmp_path, CStyle())
    assert same_bits(policy.run(observations, resets), c.run(observations, resets))
    assert same_bits(policy.forward(met_by(graph)), policy.over_floats(c.ticks)(met_by(graph)))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_nan_stays_until_the_next_reset(encoding: str, tmp_path: Path) -> None:
    graph = simplify(random_recurrent((3,), starts_at_zero=False))
    policy = encode(encoding, graph, met_by(graph))
    observations, resets = sequence(graph, 12)
    resets[:] = False
    resets[8] = True
    observations[4, 1] = np.nan
    found = written(policy, tmp_path, CStyle()).run(observations, resets)
    assert np.isfinite(found[:4]).all() and np.isfinite(found[8:]).all()
    assert np.isnan(found[4:8]).all()
    assert np.array_equal(found, policy.run(observations, resets), equal_nan=True)


@pytest.mark.parametrize("encoding", FIXED)
def test_a_state_in_whole_numbers(encoding: str, tmp_path: Path) -> None:
    graph = simplify(random_recurrent((3,), starts_at_zero=False))
    policy = encode(encoding, graph, met_by(graph))
    state = policy.whole_state
    assert state is not None and max(state.exponent) <= 15
    c = written(policy, tmp_path, CStyle("arm"))
    assert "int16_t values[ARM_STATE_SIZE];" in (tmp_path / "arm.h").read_text()
    start = state.whole(graph.initial_state())
    assert start.any() and np.array_equal(c.start, start)
    assert np.allclose(state.floats(start), graph.initial_state(), atol=2.0 ** -min(state.exponent))


@pytest.mark.parametrize("encoding", FIXED)
def test_a_state_that_stays_small(encoding: str, tmp_path: Path) -> None:
    """Its scale is no finer than its tanh."""
    graph = simplify(random_recurrent((3,)))
    met = met_by(graph)
    met[:, -graph.state_size :] *= 0.1
    policy = encode(encoding, graph, met)
    observations, resets = sequence(graph, 200)
    c = written(policy, tmp_path, CStyle())
    assert same_bits(policy.run(observations, resets), c.run(observations, resets))


@given(recurrent_graphs(8), st.sampled_from(["dense", "csr"]), st.booleans())
@settings(max_examples=6, deadline=None)
def test_any_recurrent_policy_in_c(graph: PolicyGraph, encoding: str, is_portable: bool) -> None:
    graph = simplify(graph)
    if not graph.state_size:
        return
    policy = encode(encoding, graph, met_by(graph))
    observations, resets = sequence(graph, 500, resets=0.1)
    with tempfile.TemporaryDirectory() as folder:
        c = written(policy, Path(folder), CStyle("left_arm", is_portable))
        assert same_bits(policy.run(observations, resets), c.run(observations, resets))


def test_what_policy_h_declares(tmp_path: Path) -> None:
    graph = simplify(random_recurrent((3,), starts_at_zero=False))
    policy = encode("csr", graph, met_by(graph))
    observations, _ = sequence(graph, 9)
    golden = golden_vectors(policy, observations)
    files = c_files(policy, golden, "unknown", style=CStyle("arm"))
    head, vectors = files["arm.h"], files["arm_vectors.h"]
    for line in (
        "#define ARM_STATE_SIZE 3\n",
        "struct arm_state {\n    float values[ARM_STATE_SIZE];\n};\n",
        "void arm_reset(void);\n",
        "void arm_reset_with(struct arm_state *state);\n",
    ):
        assert line in head
    assert "#define ARM_VECTOR_SEQUENCE 5\n" in vectors
    assert golden.resets.tolist() == [True, *[False] * 4] + [True, *[False] * 3]
    assert np.array_equal(golden.actions, policy.run(observations, golden.resets))
    facts = PolicyFacts.of(graph, "csr")
    said = {"golden_vectors": golden.to_json()}
    assert facts.state_size == 3
    assert GoldenVectors.from_json(said, facts, tmp_path).sequence_length == 5


def test_two_states_live_in_one_program(tmp_path: Path) -> None:
    graph = simplify(random_recurrent((3,), actions=1))
    policy = encode("csr", graph, met_by(graph))
    written(policy, tmp_path, CStyle())
    (tmp_path / "main.c").write_text(
        """\
#include <stdio.h>
#include "policy.h"
int main(void)
{
    struct policy_state left, right;
    float observation[POLICY_OBSERVATION_SIZE] = {1.0f, -2.0f, 0.5f}, action[POLICY_ACTION_SIZE];
    policy_reset_with(&left);
    policy_reset_with(&right);
    for (int i = 0; i < 3; i++) {
        policy_act_with(&left, observation, action);
        printf("%.9g ", (double)action[0]);
    }
    policy_act_with(&right, observation, action);
    printf("%.9g ", (double)action[0]);
    policy_act(observation, action);
    policy_act(observation, action);
    printf("%.9g ", (double)action[0]);
    policy_reset();
    policy_act(observation, action);
    printf("%.9g", (double)action[0]);
    return 0;
}
"""
    )
    compile_c([tmp_path / "main.c", tmp_path / "policy.c"], tmp_path / "main", tmp_path, STRICT)
    shown = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    found = np.array(shown.stdout.split(), np.float32)
    a = policy.run(np.tile(np.float32([1, -2, 0.5]), (3, 1)))[:, 0]
    assert found.tolist() == [a[0], a[1], a[2], a[0], a[1], a[0]]
