"""Assembly that stands in for the C of an encoding, a module a core and form."""
