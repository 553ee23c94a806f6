"""The one error class that is meant for users, and what a process says of its end."""

from __future__ import annotations

from typing import Final

EXIT_MISTAKE: Final = 2
EXIT_FAULT: Final = 3
"""A trial that its board ended by a fault."""
EXIT_LINK_LOST: Final = 4
"""The board, or the live page, can no longer be reached."""
EXIT_STOPPED: Final = 130
"""By a person: Ctrl-C or an e-stop. Another signal N ends with 128 + N."""


class UserError(Exception):
    """A mistake that the user can mend.

    The message is one line that names the value received and the mend; the command line prints it
    and exits with `exit_code`. Anything else that is raised is a defect of this project.
    """

    exit_code = EXIT_MISTAKE


class Stopped(UserError):
    """A person's Ctrl-C, granted at a place from which the same command goes on."""

    exit_code = EXIT_STOPPED
