"""Trials on one powered host board, with kills of host, page and board: results/soak.json.

Firmware and plant stay on their line while hosts come and go, are killed, held up or interrupted,
the line is noisy or silent for a while, and the live page dies, or its tab in Chromium is closed.
See `sparsectl.hil.fault_matrix.soak`.

    python benchmarks/soak.py [--trials N] [--seed N]
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from playwright.sync_api import Browser, Error, Page, sync_playwright

from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance
from sparsectl.firmware_host.build import build_firmware
from sparsectl.firmware_host.tools import find_tool
from sparsectl.hil.config import TrialConfig
from sparsectl.hil.fault_matrix.soak import Board, soak
from sparsectl.hil.simulation.plant_server import PlantStart
from sparsectl.plants.rig import load_rig

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "soak.json"
PATIENCE_MS = 20_000
"""Of the person with a busy browser; the page waits for one half as long."""


@dataclass(frozen=True)
class SoakConfig:
    """Run trials on one powered board and see what becomes of them."""

    trials: int = 100
    """How many."""
    seed: int = 0
    """Of what happens to them, and when."""
    seconds: float = 1.0
    """Upright that ends a trial."""
    swing_up_limit_s: float = 3.0
    """After which it gives the swing-up up."""


class Visitor:
    """A person with Chromium, who arms trials on their live pages."""

    def __init__(self, browser: Browser) -> None:
        """Sit down in front of it."""
        self._browser = browser
        self._page: Page | None = None

    def arm(self, url: str) -> bool:
        """Open the page and press Arm; a trial may have ended meanwhile, or a busy machine may
        show HOMED too late."""
        self._page = self._browser.new_page()
        try:
            self._page.goto(url)
            self._page.locator("#state", has_text="HOMED").wait_for(timeout=PATIENCE_MS)
            self._page.click("#arm", timeout=PATIENCE_MS)
        except Error:
            return False
        return True

    def leave(self) -> None:
        """Close it."""
        if self._page is not None:
            self._page.close()


def main(config: SoakConfig) -> None:
    """Run them and write the counts; exit code 1 when anything went wrong."""
    sys.path.insert(0, str(ROOT))
    from tests.hil.policies import EASY_POLICY, EASY_RIG, export_into

    constants = load_rig(EASY_RIG).firmware_constants()
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), time.monotonic()
        policy = export_into(EASY_POLICY, folder / "policy")
        built = build_firmware(policy, "host", constants, folder / "firmware")
        trial = TrialConfig(
            policy=policy,
            rig=str(EASY_RIG),
            clock="realtime",
            seconds=config.seconds,
            swing_up_limit_s=config.swing_up_limit_s,
            disturbances=0,
            report=False,
        )
        with (
            Board(Path(built["elf"]), PlantStart(str(EASY_RIG), 0, False)) as board,
            sync_playwright() as playwright,
            playwright.chromium.launch(
                executable_path=find_tool("chromium"), args=["--no-sandbox"]
            ) as browser,
        ):
            visitor = Visitor(browser)
            found = soak(board, trial, folder, config.trials, config.seed, visitor)
        seconds = round(time.monotonic() - start, 1)
    write_json(RESULTS, {**found.to_json(), "seconds": seconds, "provenance": provenance()})
    for what in found.wrong:
        print(what, file=sys.stderr)
    drives = f"{found.drives} drives, at most {found.most_ticks_unheard} ticks without a host"
    print(f"{len(found.trials)} trials in {seconds:.0f} s, {drives}, {len(found.wrong)} wrong")
    if found.wrong:
        sys.exit(1)


if __name__ == "__main__":
    main(tyro.cli(SoakConfig))
