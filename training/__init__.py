"""Train teachers, and distil them into sparse students."""
