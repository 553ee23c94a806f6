"""What a conversion is asked to do. Imports nothing heavy: `--help` reads this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

Format = Literal["mcap", "parquet"]


@dataclass(frozen=True)
class ConvertConfig:
    """Make MCAP (for Foxglove and PlotJuggler) or Parquet (for data frames) of a journal."""

    journal: Positional[Path]
    """A trial's journal.bin, or its folder."""
    to: Format = "mcap"
    """mcap: every frame and note, a channel a message; parquet: a table with a row a tick."""
    out: Path | None = None
    """The file; by default beside the journal, with the format's name for an ending."""
