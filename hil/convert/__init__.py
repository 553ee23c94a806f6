"""`sparsectl convert`: write a journal as MCAP or Parquet, for other tools."""
