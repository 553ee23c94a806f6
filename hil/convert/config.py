"""Settings of a conversion. Imports nothing heavy: `--help` reads this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

Format = Literal["mcap", "parquet"]


@dataclass(frozen=True)
class ConvertConfig:
    """Convert a journal to MCAP (for Foxglove and PlotJuggler) or Parquet (for data frames)."""

    journal: Positional[Path]
    """A trial's journal.bin, or its folder."""
    to: Format = "mcap"
    """mcap: every frame and note, one channel per message; parquet: a table with one row per
    tick."""
    out: Path | None = None
    """The output file; by default beside the journal, with the format's name as extension."""
