"""Commands that join several packages: demo, build, doctor."""
