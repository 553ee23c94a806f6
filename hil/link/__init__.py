"""The link to a board: serial line, frames, discovery, session."""
