"""Talk to a drive in lines of ASCII over a serial port: the common part of such protocols."""

from __future__ import annotations

import time
from typing import Final

from sparsectl.common.errors import UserError
from sparsectl.protocol.serial_line import SerialLine

BAUD: Final = 115_200
ANSWER_S: Final = 0.1
"""The longest wait for an answer, in s: a tick must not hang on a drive that is gone."""
START_S: Final = 1.0


class AsciiLine:
    """An open port; questions are asked one at a time, since a busy drive may drop the next one."""

    def __init__(self, kind: str, address: str, drive: str, silent: str) -> None:
        """Open `PORT` or `PORT@BAUD`, and discard what another program left incomplete.

        Args:
            kind: the word before the colon in `--port`.
            address: the text after it.
            drive: its name in messages, as in "the ODrive".
            silent: the message if nothing answers, up to "on PORT".

        Raises:
            UserError: there is no such port, or the speed is not valid.
        """
        self.port, _, baud = address.partition("@")
        if not (baud or str(BAUD)).isdigit():
            raise UserError(f"--port is {kind}:{address}; the speed behind @ is a whole number")
        self._drive, self._silent = drive, silent
        self._rest = b""
        self._line = SerialLine(self.port, int(baud or BAUD))
        self.patience_s = START_S
        """The longest time for an answer."""

    @property
    def name(self) -> str:
        """Name of the drive and its port, for messages."""
        return f"{self._drive} on {self.port}"

    def clear(self) -> None:
        """Complete an unfinished line, and discard what still arrives."""
        self.send("")
        while self._line.read(ANSWER_S):
            pass

    def send(self, line: str) -> None:
        """Send a line.

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
        """Send `question` and return the next line that starts with `begins`.

        Raises:
            UserError: no such line comes in time.
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
