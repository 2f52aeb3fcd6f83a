"""Data that several benchmarks share."""

from __future__ import annotations

import numpy as np


def power_law(n_users: int, n_items: int, n_entries: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Codes of random different pairs, both ``(n_entries,)``; activity and popularity fall like a power of the rank."""
    rng = np.random.default_rng(seed)
    found = np.empty(0, np.int64)
    while len(found) < n_entries:  # popular cells come up twice: draw until enough different ones are there
        codes = []
        for size, power in ((n_users, 0.7), (n_items, 0.9)):
            weight = (np.arange(size) + 10.0) ** -power
            codes.append(rng.choice(size, n_entries, p=weight / weight.sum()))
        found = np.unique(np.concatenate([found, codes[0] * n_items + codes[1]]))
    users, items = np.divmod(rng.permutation(found)[:n_entries], n_items)
    return rng.permutation(n_users)[users], rng.permutation(n_items)[items]
