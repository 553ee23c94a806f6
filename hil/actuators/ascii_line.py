"""A drive that is talked to in lines of ASCII over a serial port: what their protocols share."""

from __future__ import annotations

import time
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.protocol.serial_line import SerialLine

BAUD: Final = 115_200
ANSWER_S: Final = 0.1
"""Longest wait for an answer: a tick must not hang on a drive that has gone."""
START_S: Final = 1.0


class AsciiLine:
    """An open port; questions are asked one at a time, since a busy drive may drop the next."""

    def __init__(self, kind: str, address: str, drive: str, silent: str) -> None:
        """Open `PORT` or `PORT@BAUD`, and throw away what another program left half said.

        Args:
            kind: the word before the colon in `--port`.
            address: what comes behind it.
            drive: what a message calls it, as in "the ODrive".
            silent: what a message says where nothing answers, up to "on PORT".

        Raises:
            UserError: no such port, or a speed that is none.
        """
        self.port, _, baud = address.partition("@")
        if not (baud or str(BAUD)).isdigit():
            raise UserError(f"--port is {kind}:{address}; the speed behind @ is a whole number")
        self._drive, self._silent = drive, silent
        self._rest = b""
        self._line = SerialLine(self.port, int(baud or BAUD))
        self.patience_s = START_S
        """How long an answer may take."""

    @property
    def name(self) -> str:
        """The drive and where it is, for a message."""
        return f"{self._drive} on {self.port}"

    def clear(self) -> None:
        """End what was half said, and throw away what still comes."""
        self.send("")
        while self._line.read(ANSWER_S):
            pass

    def send(self, line: str) -> None:
        """Say a line.

        Raises:
            UserError: the port has gone.
        """
        try:
            self._line.write(line.encode("ascii") + b"\n")
        except OSError as error:
            raise UserError(
                f"{self.name} has disconnected: {error.strerror}; check its cable and supply"
            ) from error

    def ask(self, question: str, begins: str = "") -> str:
        """The next line that begins so, after `question`.

        Raises:
            UserError: none comes in time.
        """
        self.send(question)
        deadline_s = time.monotonic() + self.patience_s
        while True:
            while b"\n" not in self._rest:
                left_s = deadline_s - time.monotonic()
                chunk = self._line.read(left_s) if left_s > 0 else b""
                if not chunk:
                    raise UserError(
                        f"{self._silent} answers on {self.port}; check its supply, its port, and "
                        "that no other program holds it"
                    )
                self._rest += chunk
            line, _, self._rest = self._rest.partition(b"\n")
            text = line.decode("ascii", errors="replace").strip()
            if text.startswith(begins):
                return text

    def close(self) -> None:
        """Close the port."""
        self._line.close()
