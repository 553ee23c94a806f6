"""Emulators: what runs a board's firmware on this machine, its serial line a pty."""
