"""Assembly that replaces the C of an encoding, one module per core and form."""
