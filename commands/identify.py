"""`sparsectl identify`: estimate a rig's parameters from one journal."""

from sparsectl.hil.identification.identify import identify

__all__ = ["identify"]
