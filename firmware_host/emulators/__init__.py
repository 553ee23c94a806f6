"""Emulators, which run a board's firmware on this machine with a pty as its serial line."""
