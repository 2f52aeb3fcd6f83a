"""Baselines: the contract, hand values, the exact ridge solution, and bands on MovieLens."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data import splits
from course_utils.data.interactions import Interactions
from course_utils.errors import DivergedError, InputError, NotFittedError
from course_utils.evaluation import protocol
from course_utils.models import baselines
from course_utils.models.baselines import BiasModel, Popularity, Random, RecentPopularity

DAY = 86_400


def coded(rows, n_users=4, n_items=5):
    """Interactions of (user, item, rating, day)."""
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "timestamp"])
    frame["timestamp"] *= DAY
    return Interactions.from_frame(frame, user_ids=range(n_users), item_ids=range(n_items))


def without_rows(data):
    """The same ids without an interaction."""
    empty = {name: getattr(data, name)[:0] for name in ("users", "items", "ratings", "timestamps")}
    return replace(data, **empty)


ROWS = [(0, 0, 5, 0), (0, 1, 3, 1), (1, 0, 4, 2), (1, 2, 1, 30), (2, 0, 2, 3), (2, 3, 4, 30), (2, 1, 4, 4)]


@pytest.mark.parametrize("model", [Random(), Popularity(), RecentPopularity(), BiasModel()])
def test_contract(model):
    with pytest.raises(NotFittedError):
        model.score(torch.tensor([0]))
    assert model.fit(coded(ROWS)) is model
    scores = model.score(torch.tensor([3, 1, 1]))
    assert scores.shape == (3, 5)
    assert scores.dtype == torch.get_default_dtype()
    assert scores.isfinite().all()
    assert torch.equal(scores[1], scores[2])
    scores[0, 0] = -torch.inf  # the caller owns the table
    assert model.score(torch.tensor([3]))[0, 0] > -torch.inf
    assert model.score(torch.tensor([], dtype=torch.long)).shape == (0, 5)
    for wrong in (4, -1):
        with pytest.raises(InputError, match="users: got codes"):
            model.score(torch.tensor([wrong]))


def test_random_depends_on_seed_user_and_item_alone():
    data = coded(ROWS, n_users=300, n_items=400)
    scores = Random(1).fit(data).score(torch.arange(300))
    assert torch.equal(Random(1).fit(data).score(torch.tensor([7, 299])), scores[[7, 299]])
    assert not torch.equal(Random(2).fit(data).score(torch.arange(300)), scores)
    assert len(scores.unique()) == scores.numel()
    assert scores.min() >= 0
    assert scores.max() < 1
    assert abs(scores.mean() - 0.5) < 0.005
    assert np.abs(np.corrcoef(scores[:40])[np.triu_indices(40, 1)]).max() < 0.25
    assert abs(np.corrcoef(scores.flatten()[:-1], scores.flatten()[1:])[0, 1]) < 0.015


def test_popularity_counts():
    assert Popularity().fit(coded(ROWS)).score(torch.tensor([3])).tolist() == [[3, 2, 1, 1, 0]]


def test_recent_popularity_counts_the_window_and_breaks_ties_by_all():
    model = RecentPopularity(days=10).fit(coded(ROWS))
    assert model.score(torch.tensor([3]))[0].argsort(descending=True, stable=True).tolist() == [2, 3, 0, 1, 4]
    expected = [0 + 3 / 4, 0 + 2 / 4, 1 + 1 / 4, 1 + 1 / 4, 0]
    torch.testing.assert_close(model.score(torch.tensor([0]))[0], torch.tensor(expected))
    with pytest.raises(InputError, match="timestamps"):
        RecentPopularity().fit(coded([(0, 0, 1, 5), (1, 1, 1, 5)]))
    with pytest.raises(InputError, match="days"):
        RecentPopularity(days=0)


def test_the_window_is_open_at_its_old_end():
    rows = [(0, 0, 1, 0), (0, 1, 1, 20), (1, 1, 1, 10), (1, 2, 1, 11)]
    scores = RecentPopularity(days=10).fit(coded(rows)).score(torch.tensor([0]))[0]
    assert scores.floor().tolist() == [0, 1, 1, 0, 0]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 4)), st.integers(1, 5), min_size=1, max_size=20
    ),
    st.sampled_from([0.1, 3.0, 20.0]),
)
def test_biases_are_the_exact_ridge_solution(ratings, regularization):
    data = coded([(u, i, r, 0) for (u, i), r in ratings.items()])
    model = BiasModel(regularization).fit(data)
    design = np.zeros((len(data), 4 + 5))
    design[np.arange(len(data)), data.users] = 1
    design[np.arange(len(data)), 4 + data.items.numpy()] = 1
    target = data.ratings.numpy() - data.ratings.numpy().mean()
    exact = np.linalg.solve(design.T @ design + regularization * np.eye(9), design.T @ target)
    np.testing.assert_allclose(torch.cat([model.user_bias, model.item_bias]), exact, atol=1e-6)


def test_bias_model_falls_back_to_means():
    model = BiasModel(1.0).fit(coded(ROWS))
    assert model.predict([3], [4]).item() == pytest.approx(model.mean) == pytest.approx(23 / 7)
    assert model.predict([3], [0]).item() == pytest.approx(model.mean + model.item_bias[0].item())
    users, items = torch.tensor([0, 2]), torch.tensor([1, 4])
    torch.testing.assert_close(model.predict(users, items), model.score(users)[[0, 1], items])
    with pytest.raises(InputError, match="items: got codes"):
        model.predict([0], [5])
    with pytest.raises(InputError, match="regularization"):
        BiasModel(0)
    with pytest.raises(InputError, match="at least one"):
        BiasModel().fit(without_rows(coded(ROWS)))
    with pytest.raises(NotFittedError):
        BiasModel().predict([0], [0])


def both(movielens, parts):
    ids = {"user_ids": movielens.users.user_id, "item_ids": movielens.items.item_id}
    return [Interactions.from_frame(part, **ids) for part in parts]


def test_bias_model_on_movielens_five_folds(movielens):
    found = []
    for parts in splits.k_fold(movielens.ratings):
        train, test = both(movielens, parts)
        found.append(protocol.measure_ratings(BiasModel().fit(train), test))
    mean = pd.DataFrame(found).mean()
    assert 0.936 < mean["rmse"] < 0.944  # Surprise's bias baseline: .944
    assert 0.738 < mean["mae"] < 0.748


def test_popularity_on_movielens(movielens):
    train, test = both(movielens, splits.random_split(movielens.ratings))
    found = protocol.measure_lists(Popularity().fit(train), train, test)
    assert 0.205 < found["ndcg@10"] < 0.23
    assert 0.025 < found["coverage@10"] < 0.035
    chance = protocol.measure_lists(Random().fit(train), train, test)
    assert chance["ndcg@10"] < 0.02
    assert chance["coverage@10"] > 0.98


def test_time_decides_on_movielens(movielens):
    train, test = both(movielens, splits.temporal_split(movielens.ratings))
    recent = protocol.measure_lists(RecentPopularity().fit(train), train, test)["ndcg@10"]
    assert 0.38 < recent < 0.42
    assert recent > protocol.measure_lists(Popularity().fit(train), train, test)["ndcg@10"] + 0.03


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equally_recent_items_keep_their_order_in_either_type(dtype):
    torch.set_default_dtype(dtype)
    rows = [(u, 0, 5) for u in range(400)] + [(u, 1, 5) for u in range(400)] + [(u, 2, 0) for u in range(400)]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).assign(
        timestamp=lambda t: t.timestamp * 10**6
    )
    table.loc[len(table)] = [400, 1, 0]  # one earlier interaction more
    scores = RecentPopularity(days=10).fit(Interactions.from_frame(table)).score(torch.tensor([0]))[0]
    assert scores.argsort(descending=True).tolist() == [1, 0, 2]


def test_biases_that_do_not_converge_are_no_model(monkeypatch):
    data = coded([(0, 0, 1.0, 0), (1, 1, 5.0, 0)])
    monkeypatch.setattr(baselines, "cg", lambda *args, **options: (np.zeros(9), 90))
    with pytest.raises(
        DivergedError, match=r"not converged after 90 steps; a larger regularization than 3\.0"
    ):
        BiasModel().fit(data)
