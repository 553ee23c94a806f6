"""A hundred trials in a row on each board, which stays powered: results/powered.json.

Each board runs in its emulator, the firmware that its chip would run, with no pendulum on its pins.
Before each trial it is left as an earlier one may leave it: homed, stopped, driving, in the loop,
or with answers and noise on the line. None of the trials may be refused, lose its link, or find
another one's ticks in its journal. What ends it is the board's own check: nothing moves. A board
that the results have at this revision is not run again.

    python benchmarks/powered.py [--trials N] [--boards NAME ...]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from sparsectl.common.errors import UserError
from sparsectl.common.files import read_json, write_json
from sparsectl.common.progress import Progress
from sparsectl.common.provenance import provenance
from sparsectl.firmware_host.boards import BOARDS, Board, find_board
from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.emulators.running import RunningBoard
from sparsectl.plants.rig import load_rig

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "powered.json"


@dataclass(frozen=True)
class PoweredConfig:
    """Run trials one after another on boards that stay powered."""

    trials: int = 100
    """On each."""
    boards: tuple[str, ...] = tuple(BOARDS)
    """Which."""
    anew: bool = False
    """Run boards anew that the results have."""


def hundred(board: Board, policy: Path, folder: Path, trials: int) -> dict[str, Any]:
    """So many trials on one powered board: how they ended, and what went wrong."""
    from tests.hil.policies import EASY_RIG
    from tests.hil.powered import next_trial

    rig = load_rig(str(EASY_RIG)).firmware_constants()
    built = build_firmware(policy, board, rig, folder / "firmware")
    ended: Counter[str] = Counter()
    lost_frames = 0
    wrong: list[str] = []
    start = time.monotonic()
    with (
        RunningBoard(board, Path(built["elf"])) as running,
        Progress(total=trials, desc=board.name, unit="trial") as shown,
    ):
        for index in range(trials):
            try:
                result = next_trial(running, policy, folder / f"{index:03d}", index)
                ended[_word(result)] += 1
                lost_frames += result["lost_frames"]
            except (UserError, AssertionError) as error:
                wrong.append(f"trial {index}: {error}")
            shown.update(1)
    seconds = round(time.monotonic() - start, 1)
    return {
        "trials": trials,
        "ended": dict(sorted(ended.items())),
        "lost_frames": lost_frames,
        "wrong": wrong,
        "seconds": seconds,
        "provenance": provenance(),
    }


def _results() -> dict[str, Any]:
    return dict(read_json(RESULTS)) if RESULTS.is_file() else {}


def _word(result: dict[str, Any]) -> str:
    """The board's fault, or how a simulated pendulum's trial ended."""
    return str(result["fault"]) if result["fault"] != "NONE" else str(result["ended"])


def main(config: PoweredConfig) -> None:
    """Run them, board after board, and write what became of them; exit code 1 if any is wrong."""
    sys.path.insert(0, str(ROOT))
    from tests.hil.policies import EASY_POLICY, export_into

    is_clean = True
    for name in config.boards:
        results = _results()
        kept = results.get(name)
        same = kept and kept["provenance"]["revision"] == provenance()["revision"]
        if same and kept["trials"] >= config.trials and not config.anew:
            continue
        with tempfile.TemporaryDirectory() as folder:
            policy = export_into(EASY_POLICY, Path(folder) / "policy")
            found = hundred(find_board(name), policy, Path(folder), config.trials)
        write_json(RESULTS, {**_results(), name: found})
        print(f"{name}: {found['ended']}, {len(found['wrong'])} wrong")
        is_clean = is_clean and not found["wrong"]
    if not is_clean:
        sys.exit(1)


if __name__ == "__main__":
    main(tyro.cli(PoweredConfig))
