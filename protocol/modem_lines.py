"""Prepare real serial ports: keep DTR from resetting the board, and the USB chip from holding bytes
back.

Opening a port raises DTR, and on an Arduino that resets the board: its boot loader then listens for
a second or two. One that hears bytes of ours meanwhile may take them for a programmer's and stay
(the Mega 2560's does, as long as more come). So a port that may have reset its board is asked once,
before the boot loader can listen, and then left alone until it has gone.
"""

from __future__ import annotations

import array
import fcntl
import termios
from contextlib import suppress

import serial

BOOT_LOADER_S = 2.5
"""After this time a boot loader that receives nothing has started the firmware."""


def prepare(opened: serial.SerialBase, descriptor: int) -> bool:
    """Make the port deliver bytes at once and not reset the board again; return whether it may just
    have reset it.

    DTR stays high when the port is closed, so that the next trial finds the board running, with its
    home position. A USB chip that collects bytes for 16 ms (FTDI) is set not to.
    """
    try:
        fcntl.ioctl(descriptor, termios.TIOCMGET, array.array("i", [0]))
    except OSError:
        return False  # a pty or a socket
    settings = termios.tcgetattr(descriptor)
    was_up = not settings[2] & termios.HUPCL
    settings[2] &= ~termios.HUPCL
    with suppress(termios.error):
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)
    with suppress(AttributeError, OSError, ValueError):  # not every driver has it
        opened.set_low_latency_mode(True)
    return not was_up
