"""The table of small images for the page that quotes it."""

from __future__ import annotations

from pathlib import Path

from sparsectl.common.files import read_json

RESULTS = Path(__file__).resolve().parent / "results"


def images() -> list[str]:
    """A row an encoding: cycles on frames and on images without zeros, beside the plain loop."""
    result = read_json(RESULTS / "images.json")
    kept = {name: f"{name}, {share:.0%} of the weights" for name, share in result["kept"].items()}
    lines = [
        "| network | | cycles | without zeros | times fewer | flash | RAM | same choice |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(result["rows"], key=lambda row: (row["network"], row["cycles"])):
        times = f"{row['times_fewer_cycles']:.1f} ({row['times_fewer_cycles_worst']:.1f})"
        cells = [
            kept[row["network"]],
            row["name"],
            f"{row['cycles']:,}",
            f"{row['cycles_worst']:,}",
            times,
            f"{row['flash']:,} B",
            f"{row['ram']:,} B",
            f"{row['same_choice']} of {row['frames']}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
