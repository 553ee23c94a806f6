"""The way to a board: serial line, frames, discovery, session."""
