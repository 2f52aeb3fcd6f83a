"""Neighbourhood models against hand examples, naive loops in exact arithmetic, and outside referees."""

from fractions import Fraction
from math import sqrt

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from course_utils.data import splits
from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, NotFittedError
from course_utils.evaluation import protocol
from course_utils.models import neighbors
from course_utils.models.neighbors import EASE, ItemKNN, UserKNN, similarities, weighted_average

NAN = float("nan")
HAND = np.array([[5, 4, 1, NAN], [4, 5, 2, 5], [1, 2, 5, 2], [5, 5, 2, 4]])
KINDS = ["cosine", "tfidf", "pearson", "adjusted_cosine", "jaccard"]


def interactions(matrix):
    """The stored entries of a matrix with nan as interactions; ids are the codes."""
    users, items = np.nonzero(~np.isnan(matrix))
    frame = pd.DataFrame({"user_id": users, "item_id": items, "rating": matrix[users, items]})
    n_users, n_items = matrix.shape
    return Interactions.from_frame(frame, user_ids=range(n_users), item_ids=range(n_items))


def random_matrix(n_users, n_items, density, seed):
    """Real-valued ratings, so that no two similarities tie."""
    rng = np.random.default_rng(seed)
    matrix = rng.uniform(1, 5, (n_users, n_items))
    return np.where(rng.random(matrix.shape) < density, matrix, NAN)


# By hand


def test_the_chapter_s_example():
    pearson = similarities(HAND, "pearson", common=True)
    cosine = similarities(HAND, "cosine", common=True)
    assert pearson[0].numpy().round(3).tolist() == [1, 0.839, -1, 0.971]
    assert cosine[0].numpy().round(3).tolist() == [1, 0.966, 0.507, 0.987]
    means = torch.from_numpy(np.nanmean(HAND, 1))
    values = (torch.from_numpy(HAND[:, 3]) - means)[None, 1:]
    predicted = [float(means[0] + weighted_average(pearson[:1, 1:], values, k)) for k in (1, 2, 3, None)]
    assert np.round(predicted, 3).tolist() == [3.333, 3.797, 3.810, 3.810]


def test_norms_over_all_ratings_tell_a_small_overlap_from_a_large_one():
    rows = np.array([[3, 4, NAN], [3, NAN, 4]])
    assert similarities(rows, "cosine")[0, 1] == pytest.approx(9 / 25)
    assert similarities(rows, "cosine", common=True)[0, 1] == pytest.approx(1)
    assert similarities(rows, "jaccard")[0, 1] == pytest.approx(1 / 3)


def test_tfidf_weighs_a_column_by_how_rare_it_is():
    rows = np.array([[1, 1, NAN], [1, 1, 1], [1, NAN, NAN]])
    rare, often = np.log(3), np.log(1.5)
    assert similarities(rows, "tfidf")[0, 1] == pytest.approx(often / np.hypot(rare, often))
    assert (similarities(rows, "tfidf")[2] == 0).all()  # it has only what everyone has


@pytest.mark.parametrize(
    ("overlap", "factor"), [(1, 0.091), (2, 0.167), (5, 1 / 3), (20, 2 / 3), (50, 5 / 6)]
)
def test_shrinkage_counts_the_common_columns(overlap, factor):
    rows = np.full((2, 60), NAN)
    rows[:, :overlap] = 2.0
    assert similarities(rows, "jaccard", 10)[0, 1] == pytest.approx(factor, abs=5e-4)


def test_pearson_on_two_common_columns_is_one_or_minus_one():
    assert similarities(np.array([[1, 2, 5], [4, 5, NAN]]), "pearson", common=True)[0, 1] == pytest.approx(1)
    assert similarities(np.array([[1, 2, 5], [5, 4, NAN]]), "pearson", common=True)[0, 1] == pytest.approx(-1)


def test_only_damping_pulls_a_weak_average_to_zero():
    weights, values = torch.tensor([[0.4, 0.1]]), torch.tensor([[1.0, -1.0]])
    assert float(weighted_average(weights, values)) == pytest.approx(0.6)
    assert float(weighted_average(weights / 100, values)) == pytest.approx(0.6)
    assert float(weighted_average(weights, values, damping=0.5)) == pytest.approx(0.3)
    assert float(weighted_average(weights / 100, values, damping=0.5)) == pytest.approx(0.003 / 0.505)
    assert float(weighted_average(weights * 0, values)) == 0


# Against naive loops


def naive_similarity(a, b, kind, shrinkage, common, column_means):
    """One pair of rows (None: not rated) in exact arithmetic up to the root."""
    both = [c for c in range(len(a)) if a[c] is not None and b[c] is not None]
    either = [c for c in range(len(a)) if a[c] is not None or b[c] is not None]
    if not both:
        return 0.0
    factor = len(both) / (len(both) + shrinkage)
    if kind == "jaccard":
        return factor * len(both) / len(either)

    def vector(row):
        rated = [c for c in range(len(row)) if row[c] is not None]
        kept = both if common else rated
        if kind == "pearson":
            mean = sum(row[c] for c in kept) / len(kept)
            return {c: row[c] - mean for c in kept}
        return {c: row[c] - (column_means[c] if kind == "adjusted_cosine" else 0) for c in kept}

    x, y = vector(a), vector(b)
    squares = sum(v * v for v in x.values()) * sum(v * v for v in y.values())
    return factor * float(sum(x[c] * y[c] for c in both)) / sqrt(squares) if squares else 0.0


ratings = st.one_of(st.none(), st.integers(0, 10).map(lambda v: Fraction(v, 2)))


@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(1, 5).flatmap(
        lambda m: st.lists(st.lists(ratings, min_size=m, max_size=m), min_size=1, max_size=5)
    ),
    kind=st.sampled_from(["cosine", "pearson", "adjusted_cosine", "jaccard"]),
    shrinkage=st.sampled_from([0, 0.5, 25]),
    common=st.booleans(),
)
def test_similarities_equal_a_loop_over_pairs(rows, kind, shrinkage, common):
    columns = [[row[c] for row in rows if row[c] is not None] for c in range(len(rows[0]))]
    means = [sum(column) / len(column) if column else None for column in columns]
    expected = [[naive_similarity(a, b, kind, shrinkage, common, means) for b in rows] for a in rows]
    matrix = np.array([[NAN if v is None else float(v) for v in row] for row in rows])
    got = similarities(matrix, kind, shrinkage, common=common).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-9)
    assert (got == got.T).all()


def test_sparse_and_dense_input_agree_and_a_zero_is_a_rating():
    matrix = np.array([[0, 4, NAN], [2, NAN, 0], [0, 1, 3]])
    row, column = np.nonzero(~np.isnan(matrix))
    stored = sparse.csr_array((matrix[row, column], (row, column)), matrix.shape)
    for kind in KINDS:
        assert torch.equal(similarities(matrix, kind, 1), similarities(stored, kind, 1))
    assert similarities(matrix, "jaccard")[0, 1] == pytest.approx(1 / 3)


@pytest.mark.parametrize("kind", ["cosine", "tfidf", "pearson", "adjusted_cosine"])
@pytest.mark.parametrize("cls", [UserKNN, ItemKNN])
@pytest.mark.parametrize(("k", "damping"), [(1, 0.0), (3, 0.2), (99, 0.0)])
def test_models_equal_a_loop_over_neighbours(cls, kind, k, damping):
    matrix = random_matrix(9, 12, 0.5, seed=k)
    train = interactions(matrix)
    model = cls(k, kind, 2.0, damping=damping).fit(train)
    users, items = (c.ravel() for c in torch.meshgrid(torch.arange(9), torch.arange(12), indexing="ij"))
    baseline = model.biases.predict(users, items).reshape(9, 12).numpy()
    left, known = matrix - baseline, ~np.isnan(matrix)
    if cls is UserKNN:
        matrix, left, known = matrix.T, left.T, known.T
    s = similarities(matrix.T, kind, 2.0).numpy()  # between the columns
    predicted, scores = np.zeros(matrix.shape), np.zeros(matrix.shape)
    for row in range(matrix.shape[0]):
        for target in range(matrix.shape[1]):
            others = [j for j in range(matrix.shape[1]) if j != target and s[target, j] > 0]
            others.sort(key=lambda j: -s[target, j])
            mine = [j for j in others if known[row, j]][:k]
            if mine:
                weight = sum(s[target, j] for j in mine) + damping
                predicted[row, target] = sum(s[target, j] * left[row, j] for j in mine) / weight
            scores[row, target] = sum(s[target, j] for j in others[:k] if known[row, j])
    if cls is UserKNN:
        predicted, scores = predicted.T, scores.T
    np.testing.assert_allclose(model.predict(users, items).reshape(9, 12), baseline + predicted, atol=1e-12)
    np.testing.assert_allclose(model.score(torch.arange(9)), scores, atol=1e-12)


# Against outside referees


@pytest.fixture(scope="module")
def training():
    return interactions(random_matrix(60, 40, 0.3, seed=5).round())


@pytest.mark.filterwarnings("ignore:Method expects CSR")
def test_item_similarities_equal_those_of_implicit(training):
    peer = pytest.importorskip("implicit.nearest_neighbours")
    model = peer.CosineRecommender(K=training.n_items)
    model.fit(sparse.csr_matrix(training.csr()), show_progress=False)
    expected = model.similarity.toarray()
    np.fill_diagonal(expected, 0)
    ours = ItemKNN(similarity="cosine").fit(training)
    np.testing.assert_allclose(ours.similarities, expected, atol=1e-9)


@pytest.mark.parametrize("kind", ["cosine", "pearson"])
@pytest.mark.parametrize("cls", [UserKNN, ItemKNN])
def test_similarities_equal_those_of_surprise(training, cls, kind):
    surprise = pytest.importorskip("surprise")
    frame = pd.DataFrame({"u": training.users, "i": training.items, "r": training.ratings})
    data = surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=(1, 5))).build_full_trainset()
    by_user = cls is UserKNN
    peer = surprise.KNNBasic(sim_options={"name": kind, "user_based": by_user}, verbose=False).fit(data)
    inner = data.to_inner_uid if by_user else data.to_inner_iid
    order = [inner(code) for code in range(training.n_users if by_user else training.n_items)]
    expected = peer.sim[np.ix_(order, order)].clip(min=0)
    np.fill_diagonal(expected, 0)
    ours = cls(similarity=kind, common=True).fit(training)
    np.testing.assert_allclose(ours.similarities, expected, atol=1e-9)


def test_ease_is_the_optimum_and_equals_ridge_column_by_column(training):
    linear = pytest.importorskip("sklearn.linear_model")
    x = training.csr(binary=True).toarray()
    b = EASE(7.0).fit(training).weights.numpy()
    assert (np.diag(b) == 0).all()
    gradient = x.T @ (x @ b - x) + 7.0 * b  # the multipliers of the constraint stand on the diagonal
    np.testing.assert_allclose(gradient - np.diag(np.diag(gradient)), 0, atol=1e-10)
    for j in range(x.shape[1]):
        others = np.arange(x.shape[1]) != j
        ridge = linear.Ridge(alpha=7.0, fit_intercept=False).fit(x[:, others], x[:, j])
        np.testing.assert_allclose(b[others, j], ridge.coef_, atol=1e-8)
    np.testing.assert_allclose(
        EASE(7.0).fit(training).score(torch.tensor([3, 0])), (x @ b)[[3, 0]], atol=1e-12
    )


# Edges

MODELS = [
    *[
        lambda c=c, s=s, m=m: c(2, s, common=m, damping=0.0)
        for c in (UserKNN, ItemKNN)
        for s in KINDS
        for m in (0, 1)
    ],
    lambda: EASE(1.0),
]
EDGES = {
    "one user": np.array([[5.0, 3.0, NAN]]),
    "one rating": np.array([[NAN, NAN], [NAN, 4.0]]),
    "constant ratings": np.array([[3.3, 3.3, NAN], [3.3, NAN, 3.3], [3.3, 3.3, 3.3]]),
    "no common columns": np.array([[1.0, NAN], [NAN, 5.0]]),
    "cold user and item": np.array([[5.0, 1.0, NAN], [NAN, NAN, NAN], [4.0, 2.0, NAN]]),
    "all zero": np.zeros((3, 3)),
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("make", MODELS)
def test_edges_give_finite_numbers(edge, make):
    train = interactions(EDGES[edge])
    model = make().fit(train)
    users, items = (
        c.ravel()
        for c in torch.meshgrid(torch.arange(train.n_users), torch.arange(train.n_items), indexing="ij")
    )
    assert torch.isfinite(model.score(torch.arange(train.n_users))).all()
    if not isinstance(model, EASE):
        assert torch.isfinite(model.predict(users, items)).all()
        assert model.similarities.min() >= 0
        assert (model.similarities.diagonal() == 0).all()


@pytest.mark.parametrize("cls", [UserKNN, ItemKNN])
def test_cold_pairs_get_the_bias_model_and_zero_scores(cls):
    train = interactions(EDGES["cold user and item"])
    model = cls().fit(train)
    users, items = torch.tensor([1, 0, 1]), torch.tensor([0, 2, 2])
    assert torch.equal(model.predict(users, items), model.biases.predict(users, items))
    assert (model.score(torch.tensor([1])) == 0).all()
    assert (model.score(torch.tensor([0]))[:, 2] == 0).all()


@pytest.mark.parametrize("cls", [UserKNN, ItemKNN])
def test_answers_do_not_depend_on_the_batch(cls, training, monkeypatch):
    model = cls(5).fit(training)
    whole = model.score(torch.arange(60))
    assert torch.equal(model.score(torch.tensor([7, 3, 7])), whole[[7, 3, 7]])
    predicted = model.predict(training.users, training.items)
    monkeypatch.setattr(neighbors, "_CHUNK", 1)
    assert torch.equal(model.predict(training.users, training.items), predicted)
    assert model.predict(torch.tensor([], dtype=torch.long), torch.tensor([], dtype=torch.long)).shape == (0,)
    assert model.score(torch.tensor([], dtype=torch.long)).shape == (0, 40)


@pytest.mark.parametrize("make", [UserKNN, ItemKNN, EASE])
def test_everything_has_the_default_type(make, training):
    torch.set_default_dtype(torch.float32)
    train = interactions(random_matrix(20, 10, 0.5, seed=1))
    model = make().fit(train)
    assert model.score(torch.arange(3)).dtype == torch.float32
    if make is not EASE:
        assert model.similarities.dtype == torch.float32
        assert model.predict(train.users, train.items).dtype == torch.float32


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("k", lambda: ItemKNN(0)),
        ("k", lambda: UserKNN(2.5)),
        ("k", lambda: UserKNN(True)),
        ("similarity", lambda: UserKNN(similarity="cosin")),
        ("shrinkage", lambda: ItemKNN(shrinkage=-1)),
        ("damping", lambda: ItemKNN(damping=NAN)),
        ("similarity", lambda: similarities(HAND, "euclid")),
        ("shrinkage", lambda: similarities(HAND, shrinkage=-1)),
        ("regularization", lambda: EASE(0)),
        ("interactions", lambda: ItemKNN().fit(interactions(np.full((2, 2), NAN)))),
        ("users", lambda: UserKNN().fit(interactions(HAND)).score(torch.tensor([4]))),
        ("items", lambda: UserKNN().fit(interactions(HAND)).predict(torch.tensor([0]), torch.tensor([-1]))),
        ("users", lambda: EASE().fit(interactions(HAND)).score(torch.tensor([-1]))),
    ],
)
def test_bad_input_is_named(argument, call):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == argument


def test_unfitted_models_say_so():
    codes = torch.tensor([0])
    calls = [
        lambda: ItemKNN().score(codes),
        lambda: UserKNN().predict(codes, codes),
        lambda: EASE().score(codes),
    ]
    for call in calls:
        with pytest.raises(NotFittedError):
            call()


# Quality bands on the real data: a change that moves a number out of its band changed the model.


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [
        (lambda: ItemKNN(similarity="adjusted_cosine", shrinkage=25), 0.902, 0.906),
        (ItemKNN, 0.906, 0.910),
        (lambda: UserKNN(similarity="pearson", shrinkage=25), 0.916, 0.920),
    ],
)
def test_rating_error_on_the_first_fold(movielens, make, low, high):
    train, test = map(movielens.interactions, next(splits.k_fold(movielens.ratings, seed=0)))
    assert low < protocol.measure_ratings(make().fit(train), test)["rmse"] < high


@pytest.mark.parametrize(
    ("make", "low", "high"), [(ItemKNN, 0.395, 0.415), (UserKNN, 0.39, 0.41), (EASE, 0.44, 0.455)]
)
def test_lists_on_the_first_split(movielens, make, low, high):
    train, test = map(movielens.interactions, splits.random_split(movielens.ratings, seed=0))
    assert low < protocol.measure_lists(make().fit(train), train, test)["ndcg@10"] < high
