"""Campaigns: many trials, one policy or two, and an answer with its uncertainty."""
