"""The last module that the server process imports of which workers are copies.

The server starts with SIGINT blocked, because Ctrl-C reaches the whole process group, and a server
that is still importing would print its traceback. Its copies inherit the mask, and not all of them
are workers: a program may start other processes from the same server. So importing this module
discards a SIGINT that has come meanwhile, and unblocks it.
"""

from __future__ import annotations

import signal

_handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
signal.signal(signal.SIGINT, _handler)
