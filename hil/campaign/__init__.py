"""Campaigns: many trials of one policy or two, and a result with its uncertainty."""
