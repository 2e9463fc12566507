"""How the families state their published files, and which of many blocks they tap."""

from collections.abc import Iterable, Sequence

from graft.backbones.records import WeightsSource

KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
KERAS_LICENCE = "Apache-2.0"
KERAS_CODE = "Apache-2.0 (code of Keras)"
PUBLISHED_BY_GOOGLE = "Apache-2.0 (code of Keras and weights published by Google)"
MOST_TAPS = 20
MD5_CHARACTERS = 32


def published(
    base_url: str, licence: str, files: Iterable[tuple[str, str]], *, more_parameters: int = 0
) -> tuple[WeightsSource, ...]:
    """Sources from (file, hash) pairs: MD5, or SHA-256 or its first digits; "" where the publisher states none."""
    return tuple(
        WeightsSource(
            url=base_url + file,
            file=file,
            md5=digest if len(digest) == MD5_CHARACTERS else "",
            sha256=digest if len(digest) != MD5_CHARACTERS else "",
            licence=licence,
            more_parameters=more_parameters,
        )
        for file, digest in files
    )


def spaced(counts: Sequence[int]) -> list[tuple[int, int]]:
    """Blocks to tap as (stage, block), both from 0: evenly spaced, about 20 at most, each stage's last among them."""
    step = -(-sum(counts) // MOST_TAPS)
    return [
        (stage, block)
        for stage, count in enumerate(counts)
        for block in range(count)
        if (count - 1 - block) % step == 0
    ]
