"""Recurrent units in integers on AVR, whose assembly gives every bit of the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparsectl.export.c_style import CStyle
from sparsectl.export.c_writer import c_files
from sparsectl.export.encodings.assembly import avr_gru
from sparsectl.export.encodings.encoding import EncodedPolicy
from sparsectl.export.encodings.fixed import curve
from sparsectl.export.encodings.fixed.steps import Cell, Operand
from sparsectl.export.encodings.registry import encode
from sparsectl.export.golden import golden_vectors
from sparsectl.firmware_host.cores import CORES
from sparsectl.policy.graph import PolicyGraph
from sparsectl.policy.passes import simplify
from tests.export.test_recurrent import met_by, same_bits
from tests.firmware_host.cores.policies import c_policy
from tests.policy.recurrent_policies import random_recurrent, sequence
from tests.tools import need


def cell(
    drops: tuple[int, ...], exponent: int, recurrent_bits: int, added: tuple[int, ...] = ()
) -> Cell:
    """Two units, whose sums follow one another; to the first ones further sums are added."""
    names = ("reset", "update", "input", "recurrent")
    further = [Operand(names[i], 8 + 2 * i, False, drop, 20) for i, drop in enumerate(added)]
    sums = [
        Operand(names[i], 2 * i, False, drop, *((23, further[i]) if i < len(further) else ()))
        for i, drop in enumerate(drops)
    ]
    operands = (*sums, Operand("state", 0, True, 0))
    limit = 2**15 - 1
    return Cell("gru", "layer0_gru", 0, 2, operands, exponent, limit, False, True, recurrent_bits)


ENCODINGS = ("dense-int8", "dense-int16")

UNITS = {
    "few bits": cell((6, 6, 6, 7), 12, 12),
    "whole bytes": cell((8, 8, 8, 8), 15, 12),
    "fewer in the recurrent sum": cell((1, 5, 3, 4), 9, 9),
    "wide sums": cell((9, 17, 23, 12), 13, 11),
    "two sums a gate": cell((5, 7, 4, 2), 13, 12, (-2, 1)),
    "two sums each": cell((8, 4, 5, 3), 13, 12, (0, -3, 6)),
}
"""Drops of the four sums, the exponents of results and of the recurrent sum, and the drops of sums
that are added to the first ones."""

EVERY_ARGUMENT = """\
    int32_t differ = 0;
    uint32_t drawn = (uint32_t)(int32_t)observation[0] + 1u;
    for (int i = 0; i < 200; i++) {
        int32_t sum[14];
        int16_t x[2], y[2], asked[2];
        for (unsigned k = 0; k < 14; k++) {
            drawn = drawn * 1664525u + 1013904223u;
            sum[k] = (int32_t)drawn >> (drawn >> 3 & 15u);
            sum[k] = sum[k] >> least[k >> 1]; /* of so many bits, recurrent values of 16 */
            if (i < 10 && k < 6) {
                sum[k] = (int32_t)((uint32_t)edges[i] << drops[k >> 1]);
            }
        }
        for (unsigned k = 0; k < 2; k++) {
            drawn = drawn * 1664525u + 1013904223u;
            x[k] = (int16_t)(((int32_t)drawn >> 16) / divisor);
        }
        layer0_gru(sum, x, asked);
        uint8_t *packed = (uint8_t *)sum; /* as policy.S takes them */
        for (unsigned k = 0; k < 14; k++) {
            const int32_t whole = sum[k];
            memcpy(packed + k * sum_bytes, &whole, sum_bytes);
        }
        policy_layer0_gru(sum, x, y, curve_table);
        differ += y[0] != asked[0] || y[1] != asked[1];
    }
    action[0] = (float)differ;
"""


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_units_beside_their_c(unit: Cell, tmp_path: Path) -> None:
    """Which other tests hold against numpy."""
    need("avr-gcc", "simavr")
    sum_bits = 32 if max(each.drop for each in unit.operands) > 8 else 24
    assert avr_gru.serves(unit, sum_bits)
    folder = c_policy(tmp_path / "policy", EVERY_ARGUMENT)
    table = ", ".join(map(str, curve.TABLE.values.tolist()))
    drops = [each.drop for each in unit.operands]
    edges = [0, 1, -1, -256, 256 - curve.END, -curve.END, curve.END, curve.END // 2, 65536, -65536]
    edges = [each if abs(each) << max(drops) < 2 ** (sum_bits - 1) else 0 for each in edges]
    least = [32 - sum_bits, 32 - sum_bits, 32 - sum_bits, 16 - drops[3], 14, 14, 14]
    before = [
        "#include <stdint.h>",
        "#include <string.h>",
        "#include <avr/pgmspace.h>",
        "#define READ_I16(p) ((int16_t)pgm_read_word(p))",
        f"static const int16_t curve_table[] PROGMEM = {{{table}}};",
        f"static const uint8_t least[] = {{{', '.join(str(max(each, 0)) for each in least)}}};",
        f"static const int32_t edges[] = {{{', '.join(map(str, edges))}}};",
        f"static const uint8_t drops[] = {{{', '.join(map(str, drops[:3]))}}};",
        f"static const uint8_t sum_bytes = {sum_bits // 8};",
        f"static const int divisor = {2 ** (15 - unit.exponent) * 2};",
        "void policy_layer0_gru(const int32_t *, const int16_t *, int16_t *, const int16_t *);",
        *unit.functions("int16_t", CStyle()),
    ]
    source = folder / "policy.c"
    source.write_text("\n".join(before) + source.read_text())
    (folder / "policy.S").write_text(avr_gru.assembly(unit, sum_bits // 8, CStyle()))
    build = tmp_path / "build"
    build.mkdir()
    seeds = np.arange(20, dtype=np.float32)
    found = CORES["atmega328p"].measure(folder, build, np.stack([seeds, seeds], 1), 1)
    assert not found.actions.any()


def repeated_on_avr(policy: EncodedPolicy, ticks: int, folder: Path) -> bool:
    """Return whether the chip gives the reference's bits over sequences of 50 ticks."""
    observations, _ = sequence(policy.graph, ticks)
    golden = golden_vectors(policy, observations[:100])
    folder.mkdir()
    for name, text in c_files(policy, golden, "unknown").items():
        (folder / name).write_text(text)
    assert "written in policy.S with its weights" in (folder / "policy.c").read_text()
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
