"""The index against all distances, and what its search costs."""

from __future__ import annotations

import numpy as np
import pytest

from course_utils.errors import InputError
from course_utils.models import ann


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(1500, 16))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_exact_is_the_sorted_product() -> None:
    vectors = np.array([[1.0, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]])
    np.testing.assert_array_equal(ann.exact(vectors, np.array([[1.0, 0.1]]), 3), [[0, 1, 3]])


def test_recall_counts_ties() -> None:
    vectors = np.array([[1.0, 0], [1.0, 0], [0.8, 0.6], [0, 1]])
    query = np.array([[1.0, 0]])
    assert ann.recall(vectors, query, np.array([[1]])) == 1
    assert ann.recall(vectors, query, np.array([[1, 3]])) == 0.5
    assert ann.recall(vectors, query, ann.exact(vectors, query, 2)) == 1


def test_looking_far_finds_all_and_looking_less_costs_less(vectors: np.ndarray) -> None:
    index, queries = ann.NeighborIndex(vectors), vectors[:100]
    found = [index.search(queries, 10, look) for look in (10, 40, 1500)]
    assert found[0].share < found[1].share < found[2].share
    recalls = [ann.recall(vectors, queries, f.items) for f in found]
    assert recalls[0] <= recalls[1] <= recalls[2] == 1
    assert recalls[0] > 0.7
    assert 0 < found[0].share < 0.5
    np.testing.assert_array_equal(found[2].items, ann.exact(vectors, queries, 10))


def test_a_vector_is_its_own_neighbour_and_the_graph_repeats(vectors: np.ndarray) -> None:
    first, again = (ann.NeighborIndex(vectors).search(vectors[:50], 5, 40) for _ in range(2))
    np.testing.assert_array_equal(first.items[:, 0], np.arange(50))
    np.testing.assert_array_equal(first.items, again.items)
    assert first.share == again.share


def test_bad_input_is_refused(vectors: np.ndarray) -> None:
    with pytest.raises(InputError, match="vectors"):
        ann.NeighborIndex(np.full((3, 2), np.nan))
    index = ann.NeighborIndex(vectors)
    with pytest.raises(InputError, match="k:"):
        index.search(vectors[:1], 0)
    with pytest.raises(InputError, match="look"):
        index.search(vectors[:1], 10, 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_queries", [1, 2])
def test_a_graph_that_reaches_fewer_than_k_makes_no_item_up(dtype, n_queries) -> None:
    vectors = np.ones((100, 4), dtype)  # as when a hundred products were bought by one and the same household
    found = ann.NeighborIndex(vectors).search(vectors[:n_queries], 100, 100)
    assert all(set(row) == set(range(100)) for row in found.items.tolist())
    assert found.share > 1  # the walk, and then all of them


@pytest.mark.parametrize("queries", [np.ones(4), np.full((1, 4), np.nan), np.ones((0, 4))])
def test_queries_that_are_none(queries) -> None:
    with pytest.raises(InputError, match="queries"):
        ann.NeighborIndex(np.ones((5, 4))).search(queries, 1)
