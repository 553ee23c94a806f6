"""`sparsectl convert`: a journal as MCAP or Parquet, for other people's tools."""
