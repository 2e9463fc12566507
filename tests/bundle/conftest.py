"""Fixtures of the bundle tests."""

from tests.bundle.making import tiny

__all__ = ["tiny"]
