"""Students: networks that are distilled, and the file they are kept in."""
