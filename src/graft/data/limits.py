"""The limits of `ImageRules`: chosen in the user's units, and what to type where a good image exceeds one."""

import math

from graft.core.errors import ImageRefused
from graft.core.records import construct
from graft.data.records import MOST_BYTES, MOST_PIXELS, ImageRules

MILLION = 1_000_000


def chosen_rules(
    rules: ImageRules,
    *,
    max_megapixels: float | None = None,
    max_megabytes: float | None = None,
    min_side: int | None = None,
    white: int | None = None,
) -> ImageRules:
    """`rules` with what a user chose instead; raises `BadInput` for what no setting allows."""
    return construct(
        ImageRules,
        max_bytes=rules.max_bytes if max_megabytes is None else round(max_megabytes * MILLION),
        max_pixels=rules.max_pixels if max_megapixels is None else round(max_megapixels * MILLION),
        min_side_pixels=rules.min_side_pixels if min_side is None else min_side,
        sixteen_bit_white=rules.sixteen_bit_white if white is None else white,
    )


def check_bytes(count: int, rules: ImageRules) -> None:
    """Refuse a file of too many bytes (`too_many_bytes`)."""
    if count > rules.max_bytes:
        raise ImageRefused(
            f"The file must have at most {rules.max_bytes / MILLION:g} megabytes, got {_millions(count)}.",
            hint=_larger("--max-megabytes", count, MOST_BYTES),
            code="too_many_bytes",
        )


def check_size(width: int, height: int, rules: ImageRules) -> None:
    """Refuse an image of too many pixels (`too_many_pixels`) or with too short a side (`too_small`)."""
    if width * height > rules.max_pixels:
        size = f"{_millions(width * height)} ({width}×{height})"
        raise ImageRefused(
            f"The image must have at most {rules.max_pixels / MILLION:g} megapixels, got {size}.",
            hint=_larger("--max-megapixels", width * height, MOST_PIXELS),
            code="too_many_pixels",
        )
    if min(width, height) < rules.min_side_pixels:
        raise ImageRefused(
            f"Each side must have at least {rules.min_side_pixels} pixels, got {width}×{height}.",
            hint=f"Where so small an image is meant, allow it: --min-side {min(width, height)}.",
            code="too_small",
        )


def _larger(option: str, count: int, most: int) -> str:
    """What to do about `count`, of which no setting allows more than `most`."""
    if count > most:
        return f"Make it smaller: {option} allows up to {most // MILLION}."
    wanted = math.ceil(count / MILLION)
    wanted = wanted if wanted < 10 else -(-wanted // 10) * 10  # 53.5 becomes 60: the next photo may be a little larger
    return f"Make it smaller, or allow it: {option} {min(wanted, most // MILLION)}."


def _millions(count: int) -> str:
    """At least three digits, never rounded down to a limit that was exceeded."""
    text = f"{math.ceil(count / 100_000) / 10:.1f}"
    return text if count >= MILLION else f"{count / MILLION:g}"
