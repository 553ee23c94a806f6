"""Damaged frames by the million through both decoders; writes results/fuzz_frames.json.

Each damaged frame (bits flipped, bytes lost, inserted, repeated or overwritten in bursts, frames
cut, spliced, or plain garbage) has a good one behind it. Nothing that was not sent may come out,
every good frame must, and the Python decoder and the C parser must deliver the same.

    python benchmarks/fuzz_frames.py [--frames 10000000]
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class FuzzConfig:
    """How long to go on."""

    frames: int = 10_000_000
    """Damaged frames."""
    seed: int = 1
    """Of the damage."""


def main(config: FuzzConfig) -> None:
    """Run, write the figures, and fail when a decoder did."""
    sys.path.insert(0, str(ROOT))
    from tests.firmware_host.core_library import Core
    from tests.firmware_host.frame_fuzz import BATCH, FrameFuzz

    with tempfile.TemporaryDirectory() as folder:
        fuzz = FrameFuzz(Core(Path(folder)), config.seed)
        for _ in tqdm(range(-(-config.frames // BATCH)), unit_scale=BATCH, unit=" frames"):
            fuzz.run(BATCH)
    result = fuzz.summary()
    write_json(
        RESULTS / "fuzz_frames.json",
        {**result, "seed": config.seed, "provenance": provenance()},
    )
    print(result)
    if result["false_accepts"] or result["lost"] or result["differences"]:
        sys.exit("a decoder failed; see tests/firmware_host/frame_fuzz.py")


if __name__ == "__main__":
    main(tyro.cli(FuzzConfig))
