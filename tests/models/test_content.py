"""Content-based and hybrid against hand examples, naive loops and outside referees."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import roc_auc_score

from course_utils.data.features import item_features
from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, NotFittedError
from course_utils.models.content import ContentBased, Hybrid, auc_per_user, hold_out_items, standardize

# Films A to E, genres action, comedy, drama
GENRES = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1]], float)
IDF = np.log(5 / GENRES.sum(axis=0))
FILMS = pd.DataFrame(
    {
        "title": ["Toy Story", "The Toy", "Heat", "unknown"],
        "year": pd.array([1995, 1982, 1995, None], "Int64"),
        "genres": ["Animation|Comedy", "Comedy", "", ""],
    }
)


def interactions(rows, n_users, n_items):
    """Rows (user, item, rating) as interactions; ids are the codes."""
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "rating"])
    return Interactions.from_frame(frame, user_ids=range(n_users), item_ids=range(n_items))


class Fixed:
    """A model whose scores are given."""

    def __init__(self, scores):
        self.scores = torch.tensor(scores, dtype=torch.get_default_dtype())

    def fit(self, interactions):
        return self

    def score(self, users):
        return self.scores[users]


# By hand


def test_the_chapter_s_profile_of_what_was_seen():
    train = interactions([(0, 0, 4), (0, 1, 4)], 1, 5)
    scores = ContentBased(GENRES * IDF, background=False).fit(train).score([0])[0]
    assert scores[[2, 3, 4]].numpy().round(3).tolist() == [0.218, 0, 0.949]
    plain = ContentBased(GENRES, background=False).fit(train).score([0])[0]
    assert plain[2].item() == pytest.approx(0.316, abs=5e-4)


def test_a_rating_below_the_mean_pushes_away():
    train = interactions([(0, 0, 5), (0, 1, 2)], 1, 5)
    model = ContentBased(GENRES * IDF, seen_weight=0).fit(train)
    assert model.profiles.numpy().round(12).tolist() == [[0, 0, 1]]
    assert model.score([0])[0, [2, 4]].numpy().round(3).tolist() == [0.487, 0.707]


def test_equal_ratings_say_nothing_without_the_weight_of_having_seen():
    train = interactions([(0, i, 3.7) for i in range(3)], 1, 5)
    assert not ContentBased(GENRES, seen_weight=0).fit(train).score([0]).any()


def test_rating_the_whole_catalogue_alike_leaves_an_empty_profile():
    train = interactions([(0, i, 4) for i in range(5)], 1, 5)
    assert not ContentBased(GENRES * IDF).fit(train).score([0]).any()
    assert ContentBased(GENRES * IDF, background=False).fit(train).score([0]).any()


def test_hybrid_weights_are_the_exercise_s():
    rows = [(u, i, 1) for i, n in enumerate([0, 1, 3, 5, 20]) for u in range(n)]
    model = Hybrid(Fixed([[0.0] * 5]), Fixed([[0.0] * 5]), evidence=5).fit(interactions(rows, 20, 5))
    assert model.weights.numpy().round(3).tolist() == [0, 0.167, 0.375, 0.5, 0.8]


def test_an_unseen_item_is_scored_by_content_alone_whatever_the_units():
    ones = interactions([(0, 0, 1), (1, 0, 1), (0, 1, 1)], 2, 3)
    a = [[0.1, 0.2, 0.9], [0.3, 0.1, 0.2]]
    b = [[100.0, 300.0, 200.0], [5.0, 5.0, 80.0]]
    scores = Hybrid(Fixed(a), Fixed(b), evidence=2).fit(ones).score(torch.tensor([1, 0]))
    za, zb = (standardize(torch.tensor(x))[[1, 0]] for x in (a, b))
    assert torch.allclose(scores[:, 2], za[:, 2])
    assert torch.allclose(scores[:, 0], za[:, 0] / 2 + zb[:, 0] / 2)
    thousandfold = Hybrid(Fixed(a), Fixed((1000 * np.array(b)).tolist()), evidence=2).fit(ones).score([1, 0])
    assert torch.allclose(scores, thousandfold)


# Features


def test_words_weights_and_lengths_of_features():
    matrix, names = item_features(FILMS)
    assert names == [
        "genre Animation", "genre Comedy",
        "decade 1980", "decade 1990", "year 1982", "year 1995",
        "title heat", "title story", "title toy", "title unknown",
    ]  # fmt: skip
    assert np.allclose(sparse.linalg.norm(matrix, axis=1), 1)
    assert matrix.toarray()[2, :2].tolist() == [0, 0]  # no genre, so year and title share the row
    assert matrix.toarray()[3].nonzero()[0].tolist() == [9]  # neither genre nor year


def test_cosine_of_complete_items_is_the_weighted_mean_of_the_parts():
    weights = {"genres": 1, "years": 2, "titles": 0.5}
    alone = [
        item_features(FILMS, **{name: float(name == part) for name in weights}).matrix[:2].toarray()
        for part in weights
    ]
    together = item_features(FILMS, **weights).matrix[:2].toarray()
    expected = sum(w * a[0] @ a[1] for w, a in zip(weights.values(), alone, strict=True)) / 3.5
    assert together[0] @ together[1] == pytest.approx(expected)


def test_titles_are_scikit_learn_s_vectors():
    ours = item_features(FILMS, genres=0, years=0)
    referee = TfidfVectorizer(stop_words="english").fit_transform(FILMS.title)
    assert np.allclose(ours.matrix.toarray(), referee.toarray())
    story, toy = ours.matrix.toarray()[0, [1, 2]]
    assert story / toy == pytest.approx((1 + np.log(5 / 2)) / (1 + np.log(5 / 3)))


# Properties


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 3.0]), st.booleans())
def test_profiles_equal_a_naive_loop(seed, seen_weight, background):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6, 4))
    pairs = np.argwhere(rng.random((5, 6)) < 0.5)
    rows = [(u, i, rng.uniform(1, 5)) for u, i in pairs] or [(0, 0, 3.0)]
    model = ContentBased(x, seen_weight, background=background).fit(interactions(rows, 5, 6))
    scores = model.score(torch.arange(5)).numpy()
    for user in range(5):
        mine = [(i, r) for u, i, r in rows if u == user]
        mean = np.mean([r for _, r in mine]) if mine else 0
        away = x.mean(axis=0) if background else np.zeros(4)
        profile = sum(((r - mean) * x[i] + seen_weight * (x[i] - away) for i, r in mine), np.zeros(4))
        norm = np.linalg.norm(profile)
        for i in range(6):
            cosine = profile @ x[i] / norm / np.linalg.norm(x[i]) if norm > 1e-9 else 0
            assert scores[user, i] == pytest.approx(cosine, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_auc_equals_scikit_learn_s_user_by_user(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (4, 9)).astype(float)
    kind = rng.integers(0, 3, (4, 9))
    ours = auc_per_user(torch.tensor(scores), torch.tensor(kind == 0), torch.tensor(kind == 1))
    for user in range(4):
        asked = kind[user] < 2
        if len(set(kind[user][asked])) < 2:
            assert ours[user].isnan()
        else:
            expected = roc_auc_score(kind[user][asked] == 0, scores[user][asked])
            assert ours[user].item() == pytest.approx(expected)


def test_auc_of_infinite_scores_and_of_masked_entries():
    ours = auc_per_user(
        torch.tensor([[-torch.inf, -torch.inf, 1.0, 99.0]]),
        torch.tensor([[True, False, False, False]]),
        torch.tensor([[False, True, True, False]]),
    )
    assert ours.tolist() == [0.25]


def test_one_user_s_profile_does_not_depend_on_the_others():
    mine = [(0, 0, 5), (0, 3, 2)]
    alone = ContentBased(GENRES).fit(interactions(mine, 3, 5)).score([0])
    crowd = ContentBased(GENRES).fit(interactions([*mine, (1, 2, 1), (2, 4, 5)], 3, 5)).score([0])
    assert torch.equal(alone, crowd)


def test_standardize():
    scores = torch.tensor([[1.0, 2, 3], [0.3, 0.3, 0.3], [1e9, 2e9, 3e9]])
    z = standardize(scores)
    assert torch.allclose(z[0], z[2])
    assert z[1].tolist() == [0, 0, 0]
    assert torch.allclose(z[0].square().mean(), torch.tensor(1.0))


def test_hold_out_items_takes_whole_items_and_numbers_their_ratings():
    rng = np.random.default_rng(0)
    pairs = np.argwhere(rng.random((30, 12)) < np.linspace(0.2, 1, 12))
    ratings = pd.DataFrame(pairs, columns=["user_id", "item_id"]).assign(rating=1.0)
    known, held = hold_out_items(ratings, 4, at_least=15, seed=3)
    assert held.item_id.nunique() == 4
    assert not set(held.item_id) & set(known.item_id)
    assert pd.concat([known, held.drop(columns="turn")]).sort_index().equals(ratings)
    counts = held.groupby("item_id").turn.agg(["min", "max", "size", "nunique"])
    assert (counts["min"] == 0).all()
    assert (counts["max"] + 1 == counts["size"]).all()
    assert (counts["size"] == counts["nunique"]).all()
    assert (counts["size"] >= 15).all()
    shuffled = held[held.item_id == held.item_id.iloc[0]].sort_values("turn")
    assert not shuffled.index.is_monotonic_increasing
    again = hold_out_items(ratings, 4, at_least=15, seed=3)[1]
    assert held.equals(again)
    with pytest.raises(InputError, match="n_items"):
        hold_out_items(ratings, 4, at_least=1000)


# Bad input


def test_bad_input_names_the_argument():
    for column in ("title", "year", "genres"):
        with pytest.raises(InputError, match=column):
            item_features(FILMS.drop(columns=column))
    for weights in ({"genres": -1}, {"years": np.inf}, {"genres": 0, "years": 0, "titles": 0}):
        with pytest.raises(InputError, match=next(iter(weights))):
            item_features(FILMS, **weights)
    for bad in (-1, np.nan, np.inf):
        with pytest.raises(InputError, match="seen_weight"):
            ContentBased(GENRES, bad)
        with pytest.raises(InputError, match="evidence"):
            Hybrid(Fixed([[0.0]]), Fixed([[0.0]]), bad)
    for bad in (np.ones(3), np.array([[np.nan]]), None):
        with pytest.raises(InputError, match="features"):
            ContentBased(bad)
    with pytest.raises(InputError, match="5"):
        ContentBased(GENRES).fit(interactions([(0, 0, 1)], 1, 4))
    for model in (ContentBased(GENRES), Hybrid(Fixed([[0.0]]), Fixed([[0.0]]))):
        with pytest.raises(NotFittedError):
            model.score([0])
    with pytest.raises(InputError, match="users"):
        ContentBased(GENRES).fit(interactions([(0, 0, 1)], 1, 5)).score([1])


def test_quality_band_on_movielens(movielens):
    known, held = hold_out_items(movielens.ratings, seed=0)
    codes = movielens.interactions(held).items.unique()
    rated = movielens.interactions(held).mask()[:, codes]
    model = ContentBased(item_features(movielens.items)).fit(movielens.interactions(known))
    auc = auc_per_user(model.score(torch.arange(943))[:, codes], rated, ~rated).nanmean()
    assert 0.68 < auc < 0.74


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_standardize_sees_a_constant_row_in_either_type(dtype):
    rows = torch.tensor([[0.1] * 1682, [1e6 / 3] * 1682, torch.arange(1682).tolist()], dtype=dtype)
    z = standardize(rows)
    assert (z[:2] == 0).all()
    assert z[2].std(correction=0).item() == pytest.approx(1, abs=1e-5)
