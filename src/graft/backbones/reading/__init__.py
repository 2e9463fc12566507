"""Readers of weights files: which network a file is for, and its tensors, without running anything in it."""
