"""Neighbourhood models against hand examples, naive loops in exact arithmetic, and outside referees."""

from fractions import Fraction
from itertools import product
from math import sqrt

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from shared import coded, placed, refusals

from course_utils.errors import InputError
from course_utils.evaluation import protocol
from course_utils.models import neighbors
from course_utils.models.neighbors import EASE, ItemKNN, UserKNN, similarities, weighted_average

NAN = float("nan")
HAND = np.array([[5, 4, 1, NAN], [4, 5, 2, 5], [1, 2, 5, 2], [5, 5, 2, 4]])
KINDS = ["cosine", "tfidf", "pearson", "adjusted_cosine", "jaccard"]
both = pytest.mark.parametrize("cls", [UserKNN, ItemKNN])


def interactions(matrix):
    """The entries of a matrix that are not nan; ids are the codes."""
    return placed(~np.isnan(matrix), matrix)


def random_matrix(n_users, n_items, density, seed):
    """Real-valued ratings, so that no two similarities tie."""
    rng = np.random.default_rng(seed)
    matrix = rng.uniform(1, 5, (n_users, n_items))
    return np.where(rng.random(matrix.shape) < density, matrix, NAN)


def pairs(matrix):
    return torch.cartesian_prod(*(torch.arange(n) for n in matrix.shape)).T


TWO_ROWS = [
    ([[3, 4, NAN], [3, NAN, 4]], "cosine", False, 9 / 25),  # norms over all ratings tell a small overlap
    ([[0, 4, NAN], [2, NAN, 0]], "jaccard", False, 1 / 3),  # a zero is a rating
    *(([[1, 2, 5], row], "pearson", True, x) for row, x in (([4, 5, NAN], 1), ([5, 4, NAN], -1))),  # on two columns
    # a rare column weighs more, and what everyone has nothing
    ([[1, 1, NAN], [1, 1, 1], [1, NAN, NAN]], "tfidf", False, np.log(1.5) / np.hypot(np.log(3), np.log(1.5))),
    ([[1, NAN, NAN], [1, 1, 1], [1, 1, NAN]], "tfidf", False, 0),
]


class TestByHand:
    def test_the_chapter_s_example(self):
        pearson, cosine = (similarities(HAND, kind, common=True)[0] for kind in ("pearson", "cosine"))
        assert pearson.numpy().round(3).tolist() == [1, 0.839, -1, 0.971]
        assert cosine.numpy().round(3).tolist() == [1, 0.966, 0.507, 0.987]
        means = torch.from_numpy(np.nanmean(HAND, 1))
        values = (torch.from_numpy(HAND[:, 3]) - means)[None, 1:]
        predicted = [float(means[0] + weighted_average(pearson[None, 1:], values, k)) for k in (1, 2, 3, None)]
        assert np.round(predicted, 3).tolist() == [3.333, 3.797, 3.810, 3.810]

    @pytest.mark.parametrize(("rows", "kind", "common", "expected"), TWO_ROWS)
    def test_two_rows(self, rows, kind, common, expected):
        assert similarities(np.array(rows), kind, common=common)[0, 1] == pytest.approx(expected)

    def test_only_damping_pulls_a_weak_average_to_zero(self):
        weights, values = torch.tensor([1, 0.01, 0])[:, None] * torch.tensor([0.4, 0.1]), torch.tensor([[1.0, -1.0]])
        for damping, expected in ((0, [0.6, 0.6, 0]), (0.5, [0.3, 0.003 / 0.505, 0])):
            assert weighted_average(weights, values, damping=damping).tolist() == pytest.approx(expected)


def naive_similarity(a, b, kind, shrinkage, common, column_means):
    """One pair of rows (None: not rated) in exact arithmetic up to the root."""
    rated = [[c for c, value in enumerate(row) if value is not None] for row in (a, b)]
    both = sorted(set(rated[0]) & set(rated[1]))
    if not both:
        return 0.0
    factor = len(both) / (len(both) + shrinkage)
    if kind == "jaccard":
        return factor * len(both) / len(set(rated[0]) | set(rated[1]))

    def vector(row, own):
        kept = both if common else own
        if kind == "pearson":
            mean = sum(row[c] for c in kept) / len(kept)
            return {c: row[c] - mean for c in kept}
        return {c: row[c] - (column_means[c] if kind == "adjusted_cosine" else 0) for c in kept}

    x, y = vector(a, rated[0]), vector(b, rated[1])
    squares = sum(v * v for v in x.values()) * sum(v * v for v in y.values())
    return factor * float(sum(x[c] * y[c] for c in both)) / sqrt(squares) if squares else 0.0


KIND = st.sampled_from(["cosine", "pearson", "adjusted_cosine", "jaccard"])
rating = st.one_of(st.none(), st.integers(0, 10).map(lambda v: Fraction(v, 2)))


def tables(width):
    return st.lists(st.lists(rating, min_size=width, max_size=width), min_size=1, max_size=5)


@settings(max_examples=150)
@given(st.integers(1, 5).flatmap(tables), KIND, st.sampled_from([0, 0.5, 25]), st.booleans())
def test_similarities_equal_a_loop_over_pairs(rows, kind, shrinkage, common):
    columns = [[row[c] for row in rows if row[c] is not None] for c in range(len(rows[0]))]
    means = [sum(column) / len(column) if column else None for column in columns]
    expected = [[naive_similarity(a, b, kind, shrinkage, common, means) for b in rows] for a in rows]
    dense = np.array(rows, dtype=float)
    places = np.nonzero(~np.isnan(dense))
    for matrix in (dense, sparse.csr_array((dense[places], places), dense.shape)):  # a stored zero is a rating
        got = similarities(matrix, kind, shrinkage, common=common)
        np.testing.assert_allclose(got, expected, atol=1e-9)
        assert torch.equal(got, got.T)


@pytest.mark.parametrize("kind", KINDS[:4])
@both
@pytest.mark.parametrize(("k", "damping"), [(1, 0.0), (3, 0.2), (99, 0.0)])
def test_models_equal_a_loop_over_neighbours(cls, kind, k, damping):
    matrix = random_matrix(9, 12, 0.5, seed=k)
    model = cls(k, kind, 2.0, damping=damping).fit(interactions(matrix))
    baseline = model.biases.predict(*pairs(matrix)).view(9, 12).numpy()
    predicted, scores = model.predict(*pairs(matrix)).view(9, 12).numpy() - baseline, model.score(range(9)).numpy()
    left = matrix - baseline
    if cls is UserKNN:
        matrix, left, predicted, scores = matrix.T, left.T, predicted.T, scores.T
    s = similarities(matrix.T, kind, 2.0).numpy()  # between the columns
    for row, target in np.ndindex(matrix.shape):
        others = [j for j in np.argsort(-s[target]) if j != target and s[target, j] > 0]
        mine = [j for j in others if not np.isnan(matrix[row, j])][:k]
        weight = sum(s[target, j] for j in mine) + damping
        expected = sum(s[target, j] * left[row, j] for j in mine) / weight if mine else 0
        assert predicted[row, target] == pytest.approx(expected, abs=1e-12)
        listed = sum(s[target, j] for j in others[:k] if not np.isnan(matrix[row, j]))
        assert scores[row, target] == pytest.approx(listed, abs=1e-12)


@pytest.fixture(scope="module")
def training():
    return interactions(random_matrix(60, 40, 0.3, seed=5).round())


def without_diagonal(matrix):
    np.fill_diagonal(matrix, 0)
    return matrix


class TestReferees:
    @pytest.mark.parametrize("kind", ["cosine", "pearson"])
    @both
    def test_similarities_equal_those_of_surprise(self, training, cls, kind):
        surprise = pytest.importorskip("surprise")
        frame = pd.DataFrame({"u": training.users, "i": training.items, "r": training.ratings})
        data = surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=(1, 5))).build_full_trainset()
        by_user = cls is UserKNN
        peer = surprise.KNNBasic(sim_options={"name": kind, "user_based": by_user}, verbose=False).fit(data)
        inner = data.to_inner_uid if by_user else data.to_inner_iid
        order = [inner(code) for code in range(training.n_users if by_user else training.n_items)]
        ours = cls(similarity=kind, common=True).fit(training).similarities
        np.testing.assert_allclose(ours, without_diagonal(peer.sim[np.ix_(order, order)].clip(min=0)), atol=1e-9)

    def test_ease_is_the_optimum(self, training, monkeypatch):
        monkeypatch.setattr(neighbors, "_CHUNK", 120)  # three rows of forty items
        x = training.csr(binary=True).toarray()
        model = EASE(7.0).fit(training)
        b = model.weights.numpy()
        assert (np.diag(b) == 0).all()
        inverse = np.linalg.inv(x.T @ x + 7.0 * np.eye(len(b)))
        np.testing.assert_allclose(b, without_diagonal(-inverse / inverse.diagonal()), atol=1e-13)
        gradient = x.T @ (x @ b - x) + 7.0 * b  # the multipliers of the constraint stand on the diagonal
        np.testing.assert_allclose(without_diagonal(gradient), 0, atol=1e-10)
        np.testing.assert_allclose(model.score([3, 0]), (x @ b)[[3, 0]], atol=1e-12)


COLD = np.array([[5.0, 1.0, NAN], [NAN, NAN, NAN], [4.0, 2.0, NAN]])
EDGES = {
    "one user": np.array([[5.0, 3.0, NAN]]),
    "one rating": np.array([[NAN, NAN], [NAN, 4.0]]),
    "constant ratings": np.array([[3.3, 3.3, NAN], [3.3, NAN, 3.3], [3.3, 3.3, 3.3]]),
    "no common columns": np.array([[1.0, NAN], [NAN, 5.0]]),
    "cold user and item": COLD,
    "all zero": np.zeros((3, 3)),
}


class TestEdges:
    @pytest.mark.parametrize("matrix", EDGES.values(), ids=EDGES)
    def test_edges_give_finite_numbers(self, matrix):
        for cls, kind, common in product((UserKNN, ItemKNN), KINDS, (False, True)):
            model = cls(2, kind, common=common, damping=0.0).fit(interactions(matrix))
            assert torch.isfinite(model.score(range(len(matrix)))).all()
            assert torch.isfinite(model.predict(*pairs(matrix))).all()
            assert model.similarities.min() >= 0
            assert (model.similarities.diagonal() == 0).all()
        assert torch.isfinite(EASE(1.0).fit(interactions(matrix)).score(range(len(matrix)))).all()

    @both
    def test_cold_pairs_get_the_bias_model_and_zero_scores(self, cls):
        model = cls().fit(interactions(COLD))
        pair = [1, 0, 1], [0, 2, 2]
        assert torch.equal(model.predict(*pair), model.biases.predict(*pair))
        assert (model.score([1]) == 0).all()
        assert (model.score([0])[:, 2] == 0).all()

    @both
    @pytest.mark.parametrize("common", [False, True])
    def test_answers_do_not_depend_on_the_block_and_no_block_is_larger(self, cls, common, training, monkeypatch):
        def answers():
            model = cls(5, common=common).fit(training)
            return model.predict(training.users, training.items), model.score(range(5)), model._nearest.toarray()

        whole, rows, similar = answers(), [], neighbors._similar
        monkeypatch.setattr(neighbors, "_CHUNK", 180)  # three rows of sixty users, four of forty items
        monkeypatch.setattr(neighbors, "_similar", lambda *a: rows.append(len(a[4])) or similar(*a))
        assert all(map(np.array_equal, answers(), whole))
        assert max(rows) == (4 if cls is ItemKNN else 3)


def test_a_table_larger_than_the_free_memory_is_refused(monkeypatch):
    assert neighbors._free_memory() > 1e6  # of this machine
    monkeypatch.setattr(neighbors, "_free_memory", lambda: 0.3e9)
    wide, knn = coded([(0, 0, 5)], 3000, 200_000), ItemKNN()
    with pytest.raises(InputError, match=r"^interactions: .* 320.0 GB beside 0.3 GB .*ImplicitALS"):
        EASE().fit(wide)
    knn._prepared = neighbors._prepared(wide.csr().T, "cosine")  # its fit and its answers need a block alone
    with pytest.raises(InputError, match=r"^interactions: .* 1,600.0 GB beside 0.3 GB .*ImplicitALS"):
        _ = knn.similarities
    assert EASE().fit(interactions(HAND)).score([0]).shape == (1, 4)


test_refusals = refusals(
    *(("k", UserKNN, k) for k in (0, 2.5, True)),
    *(("similarity", similarities, HAND, "euclid"), ("similarity", UserKNN, {"similarity": "cosin"})),
    *(("shrinkage", similarities, HAND, {"shrinkage": -1}), ("shrinkage", ItemKNN, {"shrinkage": -1})),
    *(("damping", ItemKNN, {"damping": NAN}), ("regularization", EASE, {"regularization": 0})),
)


BANDS = [((ItemKNN, 40, "adjusted_cosine", 25), 0.902, 0.906), ((UserKNN, 40, "pearson", 25), 0.916, 0.920)]
BANDS += [((ItemKNN,), 0.906, 0.910), ((ItemKNN,), 0.395, 0.415), ((UserKNN,), 0.39, 0.41), ((EASE,), 0.44, 0.455)]


@pytest.mark.parametrize(("options", "low", "high"), BANDS)
def test_quality_on_movielens(fold, split, options, low, high):
    """RMSE on the first fold, or NDCG@10 on the first split: out of its band the model has changed."""
    cls, *rest = options
    train, test = fold if low > 0.5 else split
    model = cls(*rest).fit(train)
    found = protocol.measure_ratings(model, test) if low > 0.5 else protocol.measure_lists(model, train, test)
    assert low < found["rmse" if low > 0.5 else "ndcg@10"] < high
