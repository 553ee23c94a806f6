"""`sparsectl convert`: convert a journal to MCAP or Parquet."""

from sparsectl.hil.convert.convert import convert

__all__ = ["convert"]
