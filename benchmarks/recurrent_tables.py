"""The table of recurrent policies on small cores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from table_row import table_row

from sparsectl.common.files import read_json

RESULT = Path(__file__).resolve().parent / "results" / "recurrent.json"
NETWORKS = {
    "dense": "22-16-GRU16-4",
    "sparse": "the same, a fifth of the weights",
    "student": "5-GRU20-1",
    "any-cartpole": "`any-cartpole`, 5-GRU22-1",
    "any-furuta": "`any-furuta`, 5-GRU22-1",
}
MOST = 3
"""Encodings a network and core, the fastest first."""


def recurrent() -> list[str]:
    """Of each core and network the fastest encodings, and the plain C."""
    results = read_json(RESULT)
    head = ["core", "network", "encoding", "cycles", "share of 20 ms", "flash", "RAM", "error"]
    lines = [table_row(head), table_row(["---"] * len(head))]
    pairs = dict.fromkeys((row["core"], row["network"]) for row in results["rows"])
    for core, network in pairs:
        own = [r for r in results["rows"] if (r["core"], r["network"]) == (core, network)]
        fitting = sorted((r for r in own if r["cycles"]), key=lambda row: row["cycles"])
        shown = [r for r in fitting if r["name"] == "plain C"]
        shown += [r for r in fitting if r["name"] != "plain C"][:MOST]
        for row in shown:
            share = row["cycles_worst"] / results["tick_cycles"] if core == "atmega328p" else None
            lines.append(table_row(_row(row, NETWORKS[network], share)))
    return [*lines, "", _mark(results)]


def _row(row: dict[str, Any], network: str, share: float | None) -> list[str]:
    times = row.get("times_fewer_cycles", 1.0)
    fewer = f" ({times:.1f}x fewer)" if times != 1.0 else ""
    return [
        f"`{row['core']}`",
        network,
        row["name"],
        f"{row['cycles']:,}{fewer}",
        f"{share:.1%}" if share else "",
        f"{row['flash']:,} B",
        f"{row['ram']:,} B",
        f"{row['greatest_error']:.1e}",
    ]


def _mark(results: dict[str, Any]) -> str:
    """Say whether the two targets are met."""

    def best(core: str, network: str) -> dict[str, Any]:
        own = [
            row
            for row in results["rows"]
            if (row["core"], row["network"]) == (core, network)
            and row["cycles"]
            and row["name"] != "plain C"
        ]
        return min(own, key=lambda row: row["cycles"])

    fast, small = best("cortex-m4f", "dense"), best("atmega328p", "student")
    share = small["cycles_worst"] / results["tick_cycles"]
    names = ("any-cartpole", "any-furuta")
    most = max(best("atmega328p", name)["cycles_worst"] for name in names)
    shipped = most / results["tick_cycles"]
    is_fast = fast["times_fewer_cycles"] >= results["mark"]
    return (
        f"Marks: {results['mark']:.0f}x fewer cycles than plain C on the Cortex-M4F with all "
        f"weights, {'met' if is_fast else 'missed'} by {fast['name']} "
        f"({fast['times_fewer_cycles']:.1f}x); {results['share_mark']:.0%} of a tick for the "
        f"student on the ATmega328P, {'met' if share <= results['share_mark'] else 'missed'} "
        f"({share:.1%} by {small['name']}). The shipped policies, of two units more, take "
        f"{shipped:.2%} at most."
    )


def long_sequences() -> list[str]:
    """Return, of each core, in how many encodings it ran long sequences, and what differed."""
    results = read_json(RESULT.with_name("long_sequences.json"))
    head = ["core", "encodings", "too large for it", "actions", "that differ in a bit"]
    lines = [table_row(head), table_row(["---"] * len(head))]
    for core in dict.fromkeys(row["core"] for row in results["rows"]):
        own = [row for row in results["rows"] if row["core"] == core]
        ran = [row for row in own if row["differing"] is not None]
        actions, differing = (sum(row[key] for row in ran) for key in ("actions", "differing"))
        cells = [len(ran), len(own) - len(ran), f"{actions:,}", f"{differing:,}"]
        lines.append(table_row([f"`{core}`", *map(str, cells)]))
    return lines


def encoded_any_rig() -> list[str]:
    """Return on how many drawn rigs the policies for any pendulum balance in small encodings."""
    from encoded_any_rig import FLOAT, beside_float  # its own imports take their time

    results = read_json(RESULT.with_name("encoded_any_rig.json"))
    head = ["rigs", "as", "balanced", "95 % interval", "mean reward of 10 s"]
    head.append("less float32 on the same rigs, in points")
    lines = [table_row(head), table_row(["---"] * len(head))]
    for family, rows in results["families"].items():
        for name, row in rows.items():
            share = row["balanced"] / results["rigs"]
            cells = [
                f"drawn, of `any-{family}`",
                name,
                f"{row['balanced']} of {results['rigs']} ({share:.1%})",
                f"{row['share_low']:.1%} to {row['share_high']:.1%}",
                f"{row['mean_reward']:.2f}",
                "" if name == FLOAT else _less(beside_float(results, family, name)),
            ]
            lines.append(table_row(cells))
    return lines


def _less(paired: dict[str, Any]) -> str:
    found, low, high = (100 * paired[f"difference{end}"] for end in ("", "_low", "_high"))
    return f"{found:+.1f} [{low:+.1f}, {high:+.1f}], p = {paired['p']:.2g}"
