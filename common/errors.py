"""The one error class that is meant for users."""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can mend.

    The message is one line that names the value received and the mend; the command line prints it
    and exits with code 2. Anything else that is raised is a defect of this project.
    """
