"""Drop-in packages: the same C as a folder, an Arduino library, a CMake target; a module each."""
