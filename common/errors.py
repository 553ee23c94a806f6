"""The error class for users' mistakes, and the exit codes of a process."""

from __future__ import annotations

from typing import Final

EXIT_MISTAKE: Final = 2
EXIT_FAULT: Final = 3
"""The board ended the trial with a fault."""
EXIT_LINK_LOST: Final = 4
"""The link to the board or to the live page was lost."""
EXIT_STOPPED: Final = 130
"""A person stopped the command with Ctrl-C or an e-stop. Another signal N gives 128 + N."""


class UserError(Exception):
    """A mistake that the user can correct.

    The message is one line: the value received, the reason and the remedy. The command line prints
    it and exits with `exit_code`. Any other exception is a defect of this project.
    """

    exit_code = EXIT_MISTAKE


class NotInstalled(UserError):
    """A package that this machine lacks; the message says how to install it."""


class Stopped(UserError):
    """Ctrl-C was pressed and the work has stopped; the same command resumes it."""

    exit_code = EXIT_STOPPED
