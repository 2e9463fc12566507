"""Classifiers in other programs' formats, each proven to answer as the bundle does before it is left to anyone."""
