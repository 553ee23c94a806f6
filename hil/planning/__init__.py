"""The plan of a trial, made before anything moves."""
