"""Policies in environments: episodes, collect, evaluate, DAgger, intervals."""
