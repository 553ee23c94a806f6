"""An environment that waits, in a sweep's tasks, until the test lets it go; copied into a folder.

`name` is of the run: its process writes its number to `started-NAME`, and waits for `go`. Where
`fail-NAME` lies in the folder, it raises.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium

HERE = Path(__file__).parent


class Gate(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The pendulum behind a gate."""

    def __init__(self, name: str) -> None:
        super().__init__(gymnasium.make("InvertedPendulum-v5", max_episode_steps=5))
        self.name = name

    def reset(self, **settings: Any) -> Any:
        """Begin an episode, once the gate is open."""
        if sys.argv[0].endswith("child.py"):
            with (HERE / f"started-{self.name}").open("a") as file:
                file.write(f"{os.getpid()}\n")
            if (HERE / f"fail-{self.name}").exists():
                raise RuntimeError("the motor burns")
            while self.name != "free" and not (HERE / "go").exists():
                time.sleep(0.05)
        return super().reset(**settings)
