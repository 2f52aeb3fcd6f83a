from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from shared import coded, refusals
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import roc_auc_score

from course_utils.data.features import item_features
from course_utils.models.content import ContentBased, Hybrid, auc_per_user, hold_out_items, standardize

# Films A to E, genres action, comedy, drama
GENRES = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1]], float)
WEIGHTED = GENRES * np.log(5 / GENRES.sum(axis=0))
FILMS = pd.DataFrame({"title": ["Toy Story", "The Toy", "Heat", "unknown"]})
FILMS = FILMS.assign(year=pd.array([1995, 1982, 1995, None], "Int64"), genres=["Animation|Comedy", "Comedy", "", ""])


def of_one(ratings, x=WEIGHTED, **options):
    rows = [(0, film, rating) for film, rating in ratings.items()]
    return ContentBased(x, **options).fit(coded(rows, 1, 5))


def fixed(scores):
    return SimpleNamespace(fit=lambda interactions: None, score=lambda users: scores[users])


test_refusals = refusals(
    *((f".*'{column}'", item_features, FILMS.drop(columns=column)) for column in FILMS),
    *(("genres", item_features, FILMS, {"genres": -1}), ("years", item_features, FILMS, {"years": np.inf})),
    (".*genres", item_features, FILMS, {"genres": 0, "years": 0, "titles": 0}),
    *(("seen_weight", ContentBased, GENRES, bad) for bad in (-1, np.nan, np.inf)),
    *(("evidence", Hybrid, fixed([]), fixed([]), bad) for bad in (-1, 0, np.nan, np.inf)),
    *((".*features", ContentBased, x) for x in (np.ones(3), np.array([[np.nan]]), None)),
    ("interactions", ContentBased(GENRES).fit, coded([(0, 0, 1)], 1, 4)),
    ("n_items", hold_out_items, pd.DataFrame({"item_id": [1, 1]}), 1, {"at_least": 1000}),
)


class TestModels:
    def test_ratings_that_say_nothing_leave_an_empty_profile(self):
        assert not of_one({0: 3.7, 1: 3.7, 2: 3.7}, GENRES, seen_weight=0).score([0]).any()
        assert not of_one(dict.fromkeys(range(5), 4)).score([0]).any()  # the whole catalogue alike
        assert of_one(dict.fromkeys(range(5), 4), background=False).score([0]).any()

    @given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 3.0]), st.booleans())
    def test_profiles_equal_a_naive_loop(self, seed, seen_weight, background):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(6, 4))
        pairs = np.argwhere(rng.random((5, 6)) < 0.5)
        rows = [(u, i, rng.uniform(1, 5)) for u, i in pairs] or [(0, 0, 3.0)]
        model = ContentBased(x, seen_weight, background=background).fit(coded(rows, 5, 6))
        away = x.mean(axis=0) if background else np.zeros(4)
        for user, scores in enumerate(model.score(range(5)).numpy()):
            mine = [(i, r) for u, i, r in rows if u == user]
            mean = np.mean([r for _, r in mine]) if mine else 0
            profile = sum(((r - mean) * x[i] + seen_weight * (x[i] - away) for i, r in mine), np.zeros(4))
            norm = np.linalg.norm(profile)
            cosines = x @ profile / norm / np.linalg.norm(x, axis=1) if norm > 1e-9 else np.zeros(6)
            np.testing.assert_allclose(scores, cosines, atol=1e-9)

    def test_hybrid_scores_an_unseen_item_by_content_alone_whatever_the_units(self):
        a, b = torch.rand(20, 5), torch.rand(20, 5)
        data = coded([(u, i, 1) for i, n in enumerate([0, 1, 3, 5, 20]) for u in range(n)], 20, 5)
        for unit in (1, 1000):
            model = Hybrid(fixed(a), fixed(unit * b), evidence=5).fit(data)
            assert model.weights.numpy().round(3).tolist() == [0, 0.167, 0.375, 0.5, 0.8]
            scores = model.weights * standardize(b)[[1, 0]] + (1 - model.weights) * standardize(a)[[1, 0]]
            torch.testing.assert_close(model.score([1, 0]), scores)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_standardize_sees_a_constant_row_in_either_type(self, dtype):
        line = torch.arange(1682).tolist()
        rows = torch.tensor([[0.1] * 1682, [1e6 / 3] * 1682, line, [1e6 * x for x in line]], dtype=dtype)
        z = standardize(rows)
        assert (z[:2] == 0).all()
        assert z[2].std(correction=0).item() == pytest.approx(1, abs=1e-5)
        assert torch.allclose(z[2], z[3], atol=1e-5)


class TestFeatures:
    def test_words_weights_and_lengths_of_features(self):
        matrix, names = item_features(FILMS)
        genres, years = ["genre Animation", "genre Comedy"], ["decade 1980", "decade 1990", "year 1982", "year 1995"]
        assert names == genres + years + [f"title {word}" for word in ("heat", "story", "toy", "unknown")]
        assert np.allclose(sparse.linalg.norm(matrix, axis=1), 1)
        assert matrix.toarray()[2, :2].tolist() == [0, 0]  # no genre, so year and title share the row
        assert matrix.toarray()[3].nonzero()[0].tolist() == [9]  # neither genre nor year

    def test_cosine_of_complete_items_is_the_weighted_mean_of_the_parts(self):
        weights = {"genres": 1, "years": 2, "titles": 0.5}
        tables = [weights, *({name: float(name == part) for name in weights} for part in weights)]
        cosines = [np.prod(item_features(FILMS, **table).matrix[:2].toarray(), axis=0).sum() for table in tables]
        assert cosines[0] == pytest.approx(np.dot(list(weights.values()), cosines[1:]) / 3.5)

    def test_titles_are_scikit_learn_s_vectors(self):
        ours = item_features(FILMS, genres=0, years=0).matrix.toarray()
        assert np.allclose(ours, TfidfVectorizer(stop_words="english").fit_transform(FILMS.title).toarray())
        assert ours[0, 1] / ours[0, 2] == pytest.approx((1 + np.log(5 / 2)) / (1 + np.log(5 / 3)))  # story, toy


class TestNewItems:
    @given(st.integers(0, 10_000))
    def test_auc_equals_scikit_learn_s_user_by_user(self, seed):
        rng = np.random.default_rng(seed)
        scores, kind = rng.integers(0, 4, (4, 9)).astype(float), rng.integers(0, 3, (4, 9))
        ours = auc_per_user(torch.tensor(scores), torch.tensor(kind == 0), torch.tensor(kind == 1))
        for user, asked in enumerate(kind < 2):
            if len(set(kind[user][asked])) < 2:
                assert ours[user].isnan()
            else:
                assert ours[user].item() == pytest.approx(roc_auc_score(kind[user][asked] == 0, scores[user][asked]))

    def test_auc_of_infinite_scores_and_of_masked_entries(self):
        scores = torch.tensor([[-torch.inf, -torch.inf, 1.0, 99.0]])
        relevant, others = torch.tensor([[[True, False, False, False]], [[False, True, True, False]]])
        assert auc_per_user(scores, relevant, others).tolist() == [0.25]

    def test_hold_out_items_takes_whole_items_and_numbers_their_ratings(self):
        pairs = np.argwhere(np.random.default_rng(0).random((30, 12)) < np.linspace(0.2, 1, 12))
        ratings = pd.DataFrame(pairs, columns=["user_id", "item_id"]).assign(rating=1.0)
        known, held = hold_out_items(ratings, 4, at_least=15, seed=3)
        assert held.item_id.nunique() == 4
        assert not set(held.item_id) & set(known.item_id)
        assert pd.concat([known, held.drop(columns="turn")]).sort_index().equals(ratings)
        for _, turns in held.groupby("item_id").turn:
            assert len(turns) >= 15
            assert sorted(turns) == list(range(len(turns)))
            assert not turns.sort_values().index.is_monotonic_increasing  # shuffled
        assert held.equals(hold_out_items(ratings, 4, at_least=15, seed=3)[1])

    def test_quality_band_on_movielens(self, movielens):
        known, held = hold_out_items(movielens.ratings, seed=0)
        codes = movielens.interactions(held).items.unique()
        rated = movielens.interactions(held).mask()[:, codes]
        model = ContentBased(item_features(movielens.items)).fit(movielens.interactions(known))
        auc = auc_per_user(model.score(torch.arange(943))[:, codes], rated, ~rated).nanmean()
        assert 0.68 < auc < 0.74
