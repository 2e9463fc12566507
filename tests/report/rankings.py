"""Simulated rankings: answers of networks that are right more or less often."""

from typing import Any

import numpy as np

from graft.evaluation.comparison import compare
from graft.evaluation.intervals import wilson
from graft.evaluation.ranking import NotRanked, Ranked, Ranking, on_frontier, recommend


def make_ranking(
    networks: dict[str, tuple[float, float]], *, n: int = 3000, not_ranked: tuple[NotRanked, ...] = (), **changes: Any
) -> Ranking:
    """`networks` by name: how often right, and photos/s."""
    random = np.random.default_rng(5)
    labels = random.integers(0, 10, n)
    answers = {
        name: np.where(np.arange(n) < share * n, labels, (labels + 1) % 10) for name, (share, _) in networks.items()
    }
    order = sorted(networks, key=lambda name: -networks[name][0])
    best = answers[order[0]]
    frontier = dict(zip(networks, on_frontier(list(networks.values())), strict=True))
    entries = tuple(
        Ranked(
            backbone=name.partition("@")[0],
            title=name.partition("@")[0].title(),
            weights_sha256=f"{name:0>64}",
            side_pixels=224,
            accuracy=wilson(int((answers[name] == labels).sum()), n),
            against_best=None if name == order[0] else compare(labels, best, answers[name]),
            photos_per_second=networks[name][1],
            weights_bytes=4_000_000,
            classifier_bytes=5_200_000,
            taps=(("low", "high"),) * 5,
            frontier=frontier[name],
            n_computed=0,
            n_reused=n,
        )
        for name in order
    )
    values = {
        "graft_version": "0.1",
        "manifest_hash": "m" * 64,
        "data_key": "d" * 64,
        "n": n,
        "n_validation": 100,
        "n_kept_back": 90,
        "kept_back": "test",
        "classes": tuple("abcdefghij"),
        "folds": 5,
        "majority_share": 0.1,
        "precision": "float32",
        "threads": 2,
        "timed_photos": 32,
        "seed": 0,
        "entries": entries,
        "not_ranked": not_ranked,
        "best": entries[0].weights_sha256,
        "recommended": recommend(entries).weights_sha256,
    }
    return Ranking(**(values | changes))  # type: ignore[arg-type]
