"""The command line: argument parsing and texts, no logic."""
