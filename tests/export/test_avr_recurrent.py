"""Recurrent units in integers on AVR, whose assembly gives every bit of the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparsectl.export.c_style import CStyle
from sparsectl.export.c_writer import c_files
from sparsectl.export.encodings.assembly import avr_tanh
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.encodings.fixed import tanh
from sparsectl.export.encodings.registry import encode
from sparsectl.export.golden import golden_vectors
from sparsectl.firmware_host.cores import CORES
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.passes import simplify
from tests.export.test_recurrent import met_by, same_bits
from tests.firmware_host.cores.policies import c_policy
from tests.policy.recurrent_policies import random_recurrent, sequence
from tests.tools import need

ENCODINGS = ("dense-int8", "dense-int16")
CHUNK = 1000

EVERY_ARGUMENT = """\
    int32_t differ = 0;
    int32_t x = (int32_t)observation[0];
    for (int i = 0; i < 1000; i++, x++) {
        differ += policy_tanh(x, tanh_table) != fixed_tanh(x);
    }
    static const int32_t far[] = {32767, 32768, 65535, 65536, 8388607, 16777216, 2147483647};
    for (unsigned i = 0; i < 7; i++) {
        differ += policy_tanh(far[i], tanh_table) != 32767;
        differ += policy_tanh(-far[i], tanh_table) != -32767;
        differ += policy_tanh(-far[i] - 1, tanh_table) != -32767;
    }
    action[0] = (float)differ;
"""


def test_tanh_of_every_argument(tmp_path: Path) -> None:
    """Beside the C that stands in for it, which other tests hold against numpy."""
    need("avr-gcc", "simavr")
    folder = c_policy(tmp_path / "policy", EVERY_ARGUMENT)
    table = ", ".join(map(str, tanh.TABLE.values.tolist()))
    before = [
        "#include <stdint.h>",
        "#include <avr/pgmspace.h>",
        "#define READ_I16(p) ((int16_t)pgm_read_word(p))",
        f"static const int16_t tanh_table[] PROGMEM = {{{table}}};",
        "int16_t policy_tanh(int32_t x, const int16_t *table);",
        tanh.BY_BYTES,
    ]
    source = folder / "policy.c"
    source.write_text("\n".join(before) + source.read_text())
    (folder / "policy.S").write_text(avr_tanh.assembly(CStyle()))
    starts = np.arange(-25 * CHUNK, 25 * CHUNK, CHUNK, dtype=np.float32)
    assert -starts[0] > 24_576 < starts[-1] + CHUNK
    build = tmp_path / "build"
    build.mkdir()
    found = CORES["atmega328p"].measure(folder, build, np.stack([starts, starts], 1), 1)
    assert not found.actions.any()


def repeated_on_avr(policy: EncodedPolicy, ticks: int, folder: Path) -> bool:
    """Return whether the chip gives the reference's bits over sequences of 50 ticks."""
    observations, _ = sequence(policy.graph, ticks)
    golden = golden_vectors(policy, observations[:100])
    folder.mkdir()
    for name, text in c_files(policy, golden, "unknown").items():
        (folder / name).write_text(text)
    assert "int16_t policy_tanh" in (folder / "policy.c").read_text()
    build = folder / "build"
    build.mkdir()
    found = CORES["atmega328p"].measure(folder, build, observations, 1)
    assert golden.sequence_length == 50 and len(found.actions) == ticks
    return same_bits(found.actions, policy.run(observations, np.arange(ticks) % 50 == 0))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ten_thousand_ticks(encoding: str, tmp_path: Path) -> None:
    need("avr-gcc", "simavr")
    graph = simplify(
        random_recurrent((5, 4), encoder=6, normalised=True, starts_at_zero=False, kept=0.7)
    )
    policy = encode(encoding, graph, met_by(graph))
    assert repeated_on_avr(policy, 10_000, tmp_path / "policy")


SHAPES = {
    "one unit": random_recurrent((1,), 1, inputs=1, actions=1),
    "any cart-pole": random_recurrent((22,), 2, inputs=5, actions=1),
    "two layers": random_recurrent((7, 5), 3, inputs=6, kept=0.5),
    "reset before": random_recurrent((6,), 4, linear_before_reset=False),
    "an encoder": random_recurrent((16,), 5, inputs=22, actions=4, encoder=16),
    "frames": random_recurrent((3,), 6, frames=2, normalised=True),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("graph", SHAPES.values(), ids=SHAPES)
def test_other_shapes(graph: PolicyGraph, encoding: str, tmp_path: Path) -> None:
    need("avr-gcc", "simavr")
    graph = simplify(graph)
    policy = encode(encoding, graph, met_by(graph))
    assert repeated_on_avr(policy, 150, tmp_path / "policy")
