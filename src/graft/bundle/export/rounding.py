"""Weights in smaller numbers."""

from typing import Final

import numpy as np

LEAST_ELEMENTS: Final = 256  # smaller arrays save next to nothing
LARGEST_INT8: Final = 127


def halved(values: np.ndarray) -> np.ndarray | None:
    """As float16; None where one of them is larger than a float16 can be."""
    return values.astype(np.float16) if np.abs(values).max() <= np.finfo(np.float16).max else None


def by_channel(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """As int8, and by what each channel along `axis` is to be multiplied: float32 that broadcasts over `values`."""
    others = tuple(number for number in range(values.ndim) if number != axis)
    largest = np.abs(values).max(axis=others, keepdims=True)
    scales = np.where(largest > 0, largest / LARGEST_INT8, 1).astype(np.float32)
    return np.round(values / scales).astype(np.int8), scales
