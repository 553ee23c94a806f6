"""Show progress with the time left: a bar on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from tqdm import tqdm

LINE_EVERY_S = 15.0
"""Time between two lines in a log, and before the first; shorter work prints nothing."""

LINE = "{desc}: {n_fmt} of {total_fmt} {unit}, {elapsed} gone, {remaining} left{postfix}"
LINE_WITHOUT_TOTAL = "{desc}: {n_fmt} {unit}, {elapsed} gone{postfix}"


class Progress(tqdm):  # type: ignore[misc]
    """tqdm's bar if stderr is a terminal; whole lines if it is a file or a pipe.

    It takes tqdm's arguments; `disable=True` shows nothing in either case.
    """

    disable: bool
    bar_format: str | None
    _is_ours = False

    def __init__(self, *arguments: Any, disable: bool = False, **settings: Any) -> None:
        file = settings.get("file") or sys.stderr
        self.lines = not file.isatty()
        if self.lines:
            settings |= {"mininterval": LINE_EVERY_S, "delay": LINE_EVERY_S, "miniters": 1}
        super().__init__(*arguments, disable=disable, **settings)
        if self.lines and not self.disable:
            self._is_ours = self.bar_format is None
            self.desc = str(settings.get("desc") or "progress")

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw the bar, or print the line."""
        if not self.lines:
            shown: bool = super().display(msg, pos)
            return shown
        if self._is_ours:  # the total may have become known
            self.bar_format = LINE if self.total else LINE_WITHOUT_TOTAL
        line = str(self) if msg is None else msg
        if line:  # tqdm clears a bar by an empty one
            with suppress(OSError):  # stderr may be closed
                print(line, file=self.fp, flush=True)
        return True

    def clear(self, nolock: bool = False) -> None:
        """Remove the bar from the screen; lines stay."""
        if not self.lines:
            super().clear(nolock)

    def close(self) -> None:
        """Close the bar; a log gets no further line."""
        if self.lines and not self.disable:
            self._decr_instances(self)
            self.disable = True
        super().close()
