"""The protocol: what is ranked, masked and averaged."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import shared
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metrics import naive

from course_utils.errors import InputError
from course_utils.evaluation import protocol


class Fixed:  # a recommender whose scores are given
    def __init__(self, scores):
        self.scores = torch.as_tensor(scores, dtype=torch.get_default_dtype())
        self.largest_batch = 0

    def score(self, users):
        self.largest_batch = max(self.largest_batch, len(users))
        return self.scores[users]

    def predict(self, users, items):
        return self.scores[users, items]


def coded(rows, n_users, n_items):
    part = shared.coded(rows, n_users, n_items)
    return replace(part, user_ids=part.user_ids + 100)  # ids are no codes


@st.composite
def worlds(draw):
    """A table that says where each pair is, in train, in test or nowhere; and a table of scores with ties."""
    shape = draw(st.integers(2, 5)), draw(st.integers(3, 9))
    cells = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=shape[0] * shape[1], max_size=45)
    return [np.reshape(part[: shape[0] * shape[1]], shape) for part in zip(*draw(cells), strict=True)]


@settings(max_examples=60)
@given(worlds(), st.integers(1, 3), st.integers(1, 3))
def test_protocol_against_a_loop(world, k, batch_size):
    part, scores = world
    part[0, 0] = 2  # one interaction at least
    train, test = (coded(np.argwhere(part == side).tolist(), *part.shape) for side in (1, 2))
    model, rows, shown = Fixed(scores), {}, set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "_USERS_AT_A_TIME", batch_size)
        found = protocol.measure_lists_per_user(model, train, test, k)
        means = protocol.measure_lists(model, train, test, k)
        lists, _ = protocol.recommend(model, range(len(part)), k, train)
    assert model.largest_batch <= batch_size
    popularity = (part == 1).sum(axis=0).clip(min=1) / max(1, (part == 1).any(axis=1).sum())
    for user in np.flatnonzero((part == 2).any(axis=1)):
        ranked = sorted(np.flatnonzero(part[user] != 1), key=lambda i: (-scores[user, i], i))[:k]
        shown |= set(ranked)
        assert lists[user][: len(ranked)].tolist() == ranked
        rows[100 + user] = naive(ranked, (part[user] == 2).tolist(), k)
        rows[100 + user]["novelty"] = -np.log2(popularity[ranked]).mean()
    expected = pd.DataFrame(rows).T.add_suffix(f"@{k}").rename_axis("user_id")
    pd.testing.assert_frame_equal(found, expected)
    pd.testing.assert_series_equal(means[expected.columns], expected.mean())
    assert means[f"coverage@{k}"] == pytest.approx(len(shown) / part.shape[1])
    assert set(means.index) - set(expected.columns) == {f"coverage@{k}", f"gini@{k}"}


TRAIN, TEST = coded([(0, 0), (1, 2)], 3, 4), coded([(0, 1, 5), (1, 0, 2)], 3, 4)


def test_train_items_can_stay_in():
    model = Fixed([[9, 0, 0, 0], [0, 0, 9, 0], [0, 0, 0, 9]])
    with pytest.raises(InputError, match=r"2 interaction\(s\) that are in train too"):
        protocol.measure_lists(model, TRAIN, TRAIN, 1)
    assert protocol.measure_lists(model, TRAIN, TRAIN, 1, mask_train=False)["ndcg@1"] == 1


@pytest.mark.parametrize("mask_train", [True, False])
def test_models_and_parts_that_do_not_fit_are_refused(mask_train):
    good, wide, nan = Fixed(torch.zeros(3, 4)), Fixed(torch.zeros(3, 5)), Fixed(torch.full((3, 4), math.nan))
    items, users, empty = coded([(0, 1)], 3, 5), coded([(0, 1)], 4, 4), coded([], 3, 4)
    bad = [(good, items, 2, "item_ids"), (good, users, 2, "user_ids"), (good, empty, 2, "test: got no interaction")]
    bad += [(good, TEST, 10, "k: got 10"), (wide, TEST, 2, r"shape \(2, 5\)"), (nan, TEST, 2, "nan")]
    for model, test, k, message in bad:
        with pytest.raises(InputError, match=message):
            protocol.measure_lists(model, TRAIN, test, k, mask_train=mask_train)
    with pytest.raises(InputError, match=r"shape \(1, 5\)"):
        protocol.recommend(wide, [0], 2, TRAIN)
    for model, test, low, message in ((nan, TEST, 1, "nan"), (good, TEST, 6, "rating"), (good, empty, 1, "not empty")):
        with pytest.raises(InputError, match=message):
            protocol.measure_ratings(model, test, rating_range=(low, 5))


def test_ratings_are_pooled_and_clipped():
    test = coded([(0, 1, 5), (1, 0, 2), (1, 3, 3)], 3, 4)
    model = Fixed([[0, 7, 0, 0], [1, 0, 0, 3.5], [0, 0, 0, 0]])  # clipped errors 0, -1, .5
    found = protocol.measure_ratings(model, test)
    assert found.to_dict() == pytest.approx({"rmse": math.sqrt(1.25 / 3), "mae": 0.5})
    assert protocol.measure_ratings(model, test, rating_range=(0, 9))["mae"] == pytest.approx((2 + 1 + 0.5) / 3)


def test_recommend_leaves_scores_alone_and_keeps_no_gradient():
    model = Fixed([[3, 1, 2, 0], [5, 5, 7, 5]])
    items, scores = protocol.recommend(model, [1, 0], 2)
    assert items.tolist() == [[2, 0], [0, 2]]
    assert scores.tolist() == [[7, 5], [3, 2]]
    seen = coded([(0, 0, 1), (0, 1, 0), (0, 3, 1), (1, 2, 1)], 2, 4)  # a rating of 0 masks its item too
    items, scores = protocol.recommend(model, [0, 1], 2, exclude=seen)
    assert items.tolist() == [[2, -1], [0, 1]]
    assert scores.tolist() == [[2, -math.inf], [5, 5]]
    model = Fixed(torch.arange(12.0).reshape(3, 4))
    model.scores.requires_grad_()
    before = model.scores.detach().clone()
    assert protocol.measure_lists(model, TRAIN, TEST, 2)["hit_rate@2"] == 0
    assert torch.equal(model.scores.detach(), before)
    assert not protocol.recommend(model, [0], 2, TRAIN)[1].requires_grad
