"""`sparsectl flash`: write a firmware to its board with the board's usual tool."""

from sparsectl.firmware_host.flash import flash

__all__ = ["flash"]
