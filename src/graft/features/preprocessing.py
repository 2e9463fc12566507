"""A backbone's preprocessing in plain numpy: the reference that compiled networks are measured against."""

import numpy as np

from graft.backbones.records import GREY_WEIGHTS, Preprocessing


def network_input(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """What the network itself expects, from RGB pixels.

    `pixels`: (batch, height, width, 3) uint8. Answer: (batch, height, width, channels) float32, channels in the
    network's own order; one for a grey network.
    """
    ordered = pixels[..., ::-1] if preprocessing.channel_order == "bgr" else pixels
    scale = np.asarray(preprocessing.scale, np.float32)
    offset = np.asarray(preprocessing.offset, np.float32)
    result: np.ndarray = ordered.astype(np.float32) * scale + offset
    return result @ np.asarray(GREY_WEIGHTS, np.float32)[:, np.newaxis] if preprocessing.channels == 1 else result
