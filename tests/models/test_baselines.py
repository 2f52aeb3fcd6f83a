import numpy as np
import pandas as pd
import pytest
import shared
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import refusals

from course_utils.data import splits
from course_utils.errors import DivergedError
from course_utils.evaluation import protocol
from course_utils.models import baselines
from course_utils.models.baselines import BiasModel, Popularity, Random, RecentPopularity


def coded(rows, n_users=4, n_items=5):  # (user, item, rating, day)
    return shared.coded([(*rest, 86_400 * day) for *rest, day in rows], n_users, n_items)


ROWS = [(0, 0, 5, 0), (0, 1, 3, 1), (1, 0, 4, 2), (1, 2, 1, 30), (2, 0, 2, 3), (2, 3, 4, 30), (2, 1, 4, 4)]


PAIRS = st.tuples(st.integers(0, 3), st.integers(0, 4))


class TestCounts:
    def test_random_numbers_are_uniform_and_unrelated(self):
        scores = Random(1).fit(coded(ROWS, n_users=300, n_items=400)).score(torch.arange(300))
        assert len(scores.unique()) == scores.numel()
        assert 0 <= scores.min() < scores.max() < 1
        assert abs(scores.mean() - 0.5) < 0.005
        assert np.abs(np.corrcoef(scores[:40])[np.triu_indices(40, 1)]).max() < 0.25
        assert abs(np.corrcoef(scores.flatten()[:-1], scores.flatten()[1:])[0, 1]) < 0.015

    def test_counts_by_hand(self):
        assert Popularity().fit(coded(ROWS)).score([3, 0]).tolist() == [[3, 2, 1, 1, 0]] * 2
        recent = RecentPopularity(days=10).fit(coded(ROWS)).score([3, 0])  # ties are broken by all interactions
        assert recent.tolist() == [[3 / 4, 2 / 4, 1 + 1 / 4, 1 + 1 / 4, 0]] * 2
        window = coded([(0, 0, 1, 0), (0, 1, 1, 20), (1, 1, 1, 10), (1, 2, 1, 11)])  # open at its old end
        assert RecentPopularity(days=10).fit(window).score([0])[0].floor().tolist() == [0, 1, 1, 0, 0]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_equally_recent_items_keep_their_order_in_either_type(self, dtype):
        torch.set_default_dtype(dtype)
        rows = [(u, item, 1, day) for item, day in enumerate((58, 58, 0)) for u in range(400)]
        data = coded([*rows, (400, 1, 1, 0)], 401, 3)  # item 1 has one earlier interaction more
        assert RecentPopularity(days=10).fit(data).score([0])[0].argsort(descending=True).tolist() == [1, 0, 2]


class TestBiases:
    @given(st.dictionaries(PAIRS, st.integers(1, 5), min_size=1, max_size=20), st.sampled_from([0.1, 3.0, 20.0]))
    def test_biases_are_the_exact_ridge_solution(self, ratings, regularization):
        data = coded([(u, i, r, 0) for (u, i), r in ratings.items()])
        model = BiasModel(regularization).fit(data)
        design = np.hstack([np.eye(4)[data.users.numpy()], np.eye(5)[data.items.numpy()]])
        target = data.ratings.numpy() - data.ratings.numpy().mean()
        exact = np.linalg.solve(design.T @ design + regularization * np.eye(9), design.T @ target)
        np.testing.assert_allclose(torch.cat([model.user_bias, model.item_bias]), exact, atol=1e-6)
        expected = data.ratings.mean().item() + exact[:4, None] + exact[4:]  # bias 0 for whom nothing is known
        np.testing.assert_allclose(model.score(range(4)), expected, atol=1e-6)

    def test_biases_that_do_not_converge_are_no_model(self, monkeypatch):
        monkeypatch.setattr(baselines, "cg", lambda *args, **options: (np.zeros(9), 90))
        with pytest.raises(DivergedError, match=r"not converged after 90 steps; a larger regularization than 3\.0"):
            BiasModel().fit(coded(ROWS))


WRONG = [("days", RecentPopularity), ("regularization", BiasModel)]
test_refusals = refusals(
    *((*each, x) for each in WRONG for x in (0, -1, np.nan, None)),
    (".*timestamps", RecentPopularity().fit, coded([(0, 0, 1, 5), (1, 1, 1, 5)])),
)


class TestMovieLens:
    def test_bias_model_on_movielens_five_folds(self, movielens):
        folds = [map(movielens.interactions, parts) for parts in splits.k_fold(movielens.ratings)]
        mean = pd.DataFrame([protocol.measure_ratings(BiasModel().fit(train), test) for train, test in folds]).mean()
        assert 0.936 < mean["rmse"] < 0.944  # Surprise's bias baseline: .944
        assert 0.738 < mean["mae"] < 0.748

    def test_lists_on_movielens(self, movielens):
        def measure(model, split):
            train, test = map(movielens.interactions, split(movielens.ratings))
            return protocol.measure_lists(model.fit(train), train, test)

        found, chance = (measure(model, splits.random_split) for model in (Popularity(), Random()))
        assert 0.205 < found["ndcg@10"] < 0.23
        assert 0.025 < found["coverage@10"] < 0.035
        assert chance["ndcg@10"] < 0.02
        assert chance["coverage@10"] > 0.98
        timed = [measure(model, splits.temporal_split)["ndcg@10"] for model in (Popularity(), RecentPopularity())]
        assert timed[0] + 0.03 < timed[1]
        assert 0.38 < timed[1] < 0.42
