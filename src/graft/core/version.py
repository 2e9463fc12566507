"""The version, in one place: the package, its metadata and every record read it here; and how to get another."""

__version__ = "0.1.0"

# Hints. No package registry has Graft: under its name anybody could offer something else there.
UPDATE = "Get the newer Graft from where this one came: pip install . in its folder, or pip install and its .whl file."
REINSTALL = "Install Graft again: pip install --force-reinstall --no-deps, with its folder or its .whl file behind it."
