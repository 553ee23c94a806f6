"""Teacher in, sparse student out."""
