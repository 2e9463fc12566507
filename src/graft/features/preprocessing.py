"""A backbone's preprocessing in plain numpy: the reference that compiled networks are measured against."""

import numpy as np

from graft.backbones.records import GREY_WEIGHTS, Preprocessing
from graft.backbones.weights import WeightsFile, open_weights
from graft.core.errors import IntegrityProblem
from graft.data.augmentation.normalization import Normalizer, Whitening


def network_input(pixels: np.ndarray, preprocessing: Preprocessing, whitening: Whitening | None = None) -> np.ndarray:
    """What the network itself expects, from RGB pixels.

    `pixels`: (batch, height, width, 3) uint8; `whitening`: as `whitening_of` gives it. Answer: (batch, height, width,
    channels) float32, channels in the network's own order; one for a grey network.
    """
    ordered = pixels[..., ::-1] if preprocessing.channel_order == "bgr" else pixels
    scale = np.asarray(preprocessing.scale, np.float32)
    offset = np.asarray(preprocessing.offset, np.float32)
    result: np.ndarray = ordered.astype(np.float32) * scale + offset
    if preprocessing.channels == 1:
        result = result @ np.asarray(GREY_WEIGHTS, np.float32)[:, np.newaxis]
    if preprocessing.normalization is None:
        return result
    return Normalizer(preprocessing.normalization, whitening).apply(result)


def whitening_of(preprocessing: Preprocessing, weights: WeightsFile) -> Whitening | None:
    """The matrices that `preprocessing` whitens with, from beside the network's weights; None where it does not.

    Raises: `IntegrityProblem` hash_mismatch where they are missing or others.
    """
    wanted, file = preprocessing.whitening_sha256, weights.whitening
    if not wanted:
        return None
    if file is None or file.sha256 != wanted:
        raise IntegrityProblem(
            f"The whitening matrices must have SHA-256 {wanted}, got {file.sha256 if file else 'none'}.",
            hint="Use the file that this classifier came in.",
            code="hash_mismatch",
        )
    with open_weights(file) as tensors:
        return Whitening.of(tensors)
