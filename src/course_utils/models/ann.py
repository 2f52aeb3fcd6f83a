"""Approximate nearest neighbours: most of the best items for a part of the work; taught in chapter 15."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from usearch.index import Index

from course_utils.errors import InputError


class Found(NamedTuple):
    """What a search found, and what it cost.

    Attributes:
        items: row numbers of the vectors, best first, ``(n_queries, k)``.
        share: distances computed a query, over the number of vectors.
    """

    items: np.ndarray
    share: float


class NeighborIndex:
    """A graph over vectors that is walked towards a query (HNSW, by the library usearch); taught in chapter 15.

    Each vector is linked to near ones. A search starts somewhere and always goes on from the best vector known, so
    it computes the distance to a part of all vectors only. Nearest means the largest dot product; give vectors of
    length 1 for cosines.

    Args:
        vectors: ``(n, d)``.
        links: neighbours of each vector in the graph.
        build: how far the search looks while the graph is built.

    Raises:
        InputError: the vectors are no table of finite numbers.
    """

    def __init__(self, vectors: np.ndarray, *, links: int = 16, build: int = 64) -> None:
        vectors = np.ascontiguousarray(vectors)
        if vectors.ndim != 2 or len(vectors) == 0 or not np.isfinite(vectors).all():
            raise InputError("vectors", got=f"shape {vectors.shape}", expected="finite numbers, (n, d)")
        kind = "f32" if vectors.dtype == np.float32 else "f64"
        self.n, self._vectors = len(vectors), vectors
        self._index = Index(
            ndim=vectors.shape[1], metric="ip", dtype=kind, connectivity=links, expansion_add=build
        )
        self._index.add(np.arange(self.n), vectors, threads=1)  # one thread: the same graph each time

    def search(self, queries: np.ndarray, k: int, look: int = 64) -> Found:
        """The k nearest vectors of each query, most of them; all, where the graph reaches fewer than k.

        Args:
            queries: ``(n_queries, d)``.
            k: in 1..n.
            look: how many candidates the search keeps; more finds more and costs more. At least k.

        Raises:
            InputError: ``k`` or ``look`` is out of range.
        """
        width = self._vectors.shape[1]
        if not len(queries) or np.shape(queries)[1:] != (width,) or not np.isfinite(queries).all():
            expected = f"finite numbers, (n_queries, {width})"
            raise InputError("queries", got=f"shape {np.shape(queries)}", expected=expected)
        if not 1 <= k <= self.n:
            raise InputError("k", got=k, expected=f"1..{self.n}")
        if look < k:
            raise InputError("look", got=look, expected=f"at least k, {k}")
        self._index.expansion_search = look
        queries = np.ascontiguousarray(queries)
        found = self._index.search(queries, k, threads=1)
        keys = np.atleast_2d(found.keys)  # of a single query, only those that were found
        items = np.zeros((len(queries), k), np.int64)
        items[:, : keys.shape[1]] = keys
        short = np.ravel(getattr(found, "counts", keys.shape[1])) < k
        if short.any():  # the graph reached fewer than k: the library leaves the other places as they were
            items[short] = exact(self._vectors, queries[short], k)
        return Found(items, (found.computed_distances + short.sum() * self.n) / (len(queries) * self.n))


def exact(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """The k vectors with the largest dot products, all of them computed: ``(n_queries, k)``, best first."""
    scores = queries @ vectors.T
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def recall(vectors: np.ndarray, queries: np.ndarray, found: np.ndarray) -> float:
    """The mean share of found items that are as near as the query's true k-th nearest; taught in chapter 15.

    Ties count as found: products that one household alone bought have the same vector.

    Args:
        vectors: ``(n, d)``.
        queries: ``(n_queries, d)``.
        found: row numbers of the vectors, ``(n_queries, k)``, different in a row.

    Returns:
        0 to 1.
    """
    k, n = found.shape[1], len(vectors)
    scores = queries @ vectors.T
    last = np.partition(scores, n - k, axis=1)[:, n - k, None]  # the true k-th best
    slack = 1e-6 * np.maximum(1, np.abs(last))
    return float((np.take_along_axis(scores, found, axis=1) >= last - slack).mean())
