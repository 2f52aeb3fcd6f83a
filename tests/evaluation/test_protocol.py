"""The protocol: what is ranked, masked and averaged; intervals and paired tests against scipy."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.evaluation import protocol, significance


class Fixed:
    """A recommender whose scores are given."""

    def __init__(self, scores):
        self.scores = torch.as_tensor(scores, dtype=torch.get_default_dtype())
        self.largest_batch = 0

    def score(self, users):
        self.largest_batch = max(self.largest_batch, len(users))
        return self.scores[users]

    def predict(self, users, items):
        return self.scores[users, items]


def coded(pairs, n_users, n_items, ratings=None):
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id"]).astype(int)
    frame["rating"] = 1.0 if ratings is None else ratings
    frame["user_id"] += 100
    return Interactions.from_frame(frame, user_ids=range(100, 100 + n_users), item_ids=range(n_items))


@st.composite
def worlds(draw):
    n_users, n_items = draw(st.integers(2, 5)), draw(st.integers(3, 9))
    cells = [(u, i) for u in range(n_users) for i in range(n_items)]
    part = draw(st.lists(st.sampled_from([None, "train", "test"]), min_size=len(cells), max_size=len(cells)))
    stars = draw(st.lists(st.integers(1, 5), min_size=len(cells), max_size=len(cells)))
    scores = draw(st.lists(st.integers(0, 3), min_size=len(cells), max_size=len(cells)))
    train = [c for c, p in zip(cells, part, strict=True) if p == "train"]
    test = {c: s for c, p, s in zip(cells, part, stars, strict=True) if p == "test"}
    return n_users, n_items, train, test, np.array(scores).reshape(n_users, n_items)


@settings(deadline=None, max_examples=60)
@given(worlds(), st.integers(1, 3), st.sampled_from([None, 4]), st.integers(1, 3))
def test_protocol_against_a_loop(world, k, relevant_from, batch_size):
    n_users, n_items, train, test, scores = world
    sides = coded(train, n_users, n_items), coded(list(test), n_users, n_items, list(test.values()))
    options = {"relevant_from": relevant_from, "batch_size": batch_size}
    wanted = {
        u: {i for (v, i), s in test.items() if v == u and s >= (relevant_from or 0)} for u in range(n_users)
    }
    wanted = {u: items for u, items in wanted.items() if items}
    model = Fixed(scores)
    if not wanted:
        with pytest.raises(InputError, match="no relevant interaction"):
            protocol.measure_lists(model, *sides, k, **options)
        return
    rows, shown = [], set()
    for user, relevant in wanted.items():
        candidates = [i for i in range(n_items) if (user, i) not in train]
        ranked = sorted(candidates, key=lambda i: (-scores[user, i], i))[:k]
        shown |= set(ranked)
        hits = [float(i in relevant) for i in ranked]
        precision = [sum(hits[: r + 1]) / (r + 1) for r in range(len(hits))]
        best = min(k, len(relevant))
        n_known = max(1, len({u for u, _ in train}))
        known = [max(1, sum(j == i for _, j in train)) for i in ranked]
        rows.append(
            {
                f"ndcg@{k}": sum(h / math.log2(r + 2) for r, h in enumerate(hits))
                / sum(1 / math.log2(r + 2) for r in range(best)),
                f"map@{k}": sum(h * p for h, p in zip(hits, precision, strict=True)) / best,
                f"recall@{k}": sum(hits) / len(relevant),
                f"capped_recall@{k}": sum(hits) / best,
                f"precision@{k}": sum(hits) / k,
                f"hit_rate@{k}": max(hits),
                f"mrr@{k}": max(h / (r + 1) for r, h in enumerate(hits)),
                f"novelty@{k}": np.mean([-math.log2(c / n_known) for c in known]),
            }
        )
    expected = pd.DataFrame(rows, index=pd.Index([100 + u for u in wanted], name="user_id"))
    found = protocol.measure_lists_per_user(model, *sides, k, **options)
    pd.testing.assert_frame_equal(found, expected)
    assert model.largest_batch <= batch_size
    means = protocol.measure_lists(model, *sides, k, **options)
    pd.testing.assert_series_equal(means[expected.columns], expected.mean())
    assert means[f"coverage@{k}"] == pytest.approx(len(shown) / n_items)
    assert set(means.index) - set(expected.columns) == {f"coverage@{k}", f"gini@{k}"}


TRAIN = coded([(0, 0), (1, 2)], 3, 4)
TEST = coded([(0, 1), (1, 0)], 3, 4, [5, 2])


def test_scores_of_the_model_are_left_alone_and_no_gradient_is_kept():
    model = Fixed(torch.arange(12.0).reshape(3, 4))
    model.scores.requires_grad_()
    before = model.scores.detach().clone()
    assert protocol.measure_lists(model, TRAIN, TEST, 2)["hit_rate@2"] == 0
    assert torch.equal(model.scores.detach(), before)
    assert not protocol.recommend(model, [0], 2, TRAIN)[1].requires_grad


def test_users_without_test_items_leave_no_gap():
    scores = [[9, 0, 0, 0], [0, 0, 9, 0], [0, 0, 0, 9], [0, 9, 0, 0]]
    test = coded([(3, 1), (0, 0), (2, 2)], 4, 4)
    train = coded([(1, 1)], 4, 4)
    for batch_size in (1, 2, 3):
        found = protocol.measure_lists_per_user(Fixed(scores), train, test, 1, batch_size=batch_size)[
            "ndcg@1"
        ]
        assert found.to_dict() == {100: 1, 102: 0, 103: 1}


def test_train_items_can_stay_in():
    model = Fixed([[9, 1, 0, 0], [0, 0, 9, 1], [0, 0, 0, 0]])
    bought_again = coded([(0, 0), (1, 2)], 3, 4)
    with pytest.raises(InputError, match=r"2 interaction\(s\) that are in train too"):
        protocol.measure_lists(model, TRAIN, bought_again, 1)
    assert protocol.measure_lists(model, TRAIN, bought_again, 1, mask_train=False)["ndcg@1"] == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: protocol.measure_lists(m, TRAIN, coded([(0, 1)], 3, 5), 2), "item_ids that differ"),
        (lambda m: protocol.measure_lists(m, TRAIN, coded([(0, 1)], 4, 4), 2), "user_ids that differ"),
        (lambda m: protocol.measure_lists(m, TRAIN, TEST, 10), "k: got 10"),
        (lambda m: protocol.measure_lists(m, TRAIN, TEST, 2, relevant_from=6), "no relevant"),
        (lambda m: protocol.measure_lists(m, TRAIN, TEST, 2, batch_size=0), "batch_size"),
        (lambda m: protocol.measure_lists(Fixed(torch.zeros(3, 5)), TRAIN, TEST, 2), r"shape \(2, 5\)"),
        (lambda m: protocol.measure_lists(Fixed(torch.full((3, 4), math.nan)), TRAIN, TEST, 2), "nan"),
        (lambda m: protocol.measure_ratings(Fixed(torch.full((3, 4), math.nan)), TEST), "nan"),
        (lambda m: protocol.measure_ratings(m, TEST, rating_range=(5, 1)), "rating_range"),
        (lambda m: protocol.measure_ratings(m, coded([], 3, 4)), "not empty"),
        (lambda m: significance.bootstrap_interval([math.nan]), "no numbers"),
        (lambda m: significance.bootstrap_interval([1.0], level=95), "level"),
        (lambda m: significance.paired_test([1.0], [1.0, 2.0]), "same length"),
        (lambda m: significance.paired_test(pd.Series([1.0], [1]), pd.Series([1.0], [2])), "indexes"),
        (lambda m: significance.paired_test([1.0, 2.0], [1.0, 1.0], method="sign"), "method"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(InputError, match=message):
        call(Fixed(torch.zeros(3, 4)))


def test_ratings_are_pooled_and_clipped():
    test = coded([(0, 1), (1, 0), (1, 3)], 3, 4, [5, 2, 3])
    model = Fixed([[0, 7, 0, 0], [1, 0, 0, 3.5], [0, 0, 0, 0]])  # clipped errors 0, -1, .5
    found = protocol.measure_ratings(model, test)
    assert list(found.index) == ["rmse", "mae"]
    assert found["rmse"] == pytest.approx(math.sqrt(1.25 / 3))
    assert found["mae"] == pytest.approx(0.5)
    assert protocol.measure_ratings(model, test, rating_range=None)["mae"] == pytest.approx((2 + 1 + 0.5) / 3)


def test_recommend():
    model = Fixed([[3, 1, 2, 0], [5, 5, 7, 5]])
    items, scores = protocol.recommend(model, [1, 0], 2)
    assert items.tolist() == [[2, 0], [0, 2]]
    assert scores.tolist() == [[7, 5], [3, 2]]
    seen = coded([(0, 0), (0, 1), (0, 3), (1, 2)], 2, 4)
    items, scores = protocol.recommend(model, [0, 1], 2, exclude=seen)
    assert items.tolist() == [[2, -1], [0, 1]]
    assert scores.tolist() == [[2, -math.inf], [5, 5]]


def test_a_rating_of_zero_masks_its_item_too():
    items, _ = protocol.recommend(Fixed([[3, 1]]), [0], 1, exclude=coded([(0, 0)], 1, 2, [0.0]))
    assert items.tolist() == [[1]]


def test_bootstrap_interval_agrees_with_scipy():
    values = np.random.default_rng(1).exponential(size=200)
    low, high = significance.bootstrap_interval([*values, math.nan], 0.9)
    theirs = stats.bootstrap(
        (values,), np.mean, confidence_level=0.9, method="percentile"
    ).confidence_interval
    assert (low, high) == pytest.approx(tuple(theirs), abs=0.02)
    assert significance.bootstrap_interval([*values], 0.9) == (low, high)
    assert significance.bootstrap_interval([2.0, 2.0]) == (2, 2)


def test_bootstrap_in_pieces_covers_the_mean():
    rng = np.random.default_rng(0)
    covered = [
        (lambda low, high: low <= 0 <= high)(
            *significance.bootstrap_interval(rng.normal(size=60), samples=500)
        )
        for _ in range(200)
    ]
    assert 0.9 <= np.mean(covered) <= 0.99
    wide = significance.bootstrap_interval(rng.normal(size=300_000), samples=30)  # more than one piece
    assert -0.01 < wide[0] < wide[1] < 0.01


def test_paired_test_agrees_with_scipy():
    rng = np.random.default_rng(2)
    a = rng.normal(size=80)
    b = a + rng.normal(0.15, 0.6, size=80)
    a_with_gap, b_with_gap = [*a, math.nan], [*b, 1.0]
    found = {
        name: significance.paired_test(a_with_gap, b_with_gap, method=name)
        for name in ("permutation", "wilcoxon", "t")
    }
    assert found["wilcoxon"].p_value == pytest.approx(stats.wilcoxon(a, b).pvalue)
    assert found["t"].p_value == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert found["permutation"].p_value == pytest.approx(found["t"].p_value, abs=0.015)
    assert found["permutation"].difference == pytest.approx((a - b).mean())
    assert found["permutation"].low < (a - b).mean() < found["permutation"].high


def test_exact_permutation_p_values():
    # All four differences are 1: of 16 sign patterns, 2 reach a mean of 1 or -1.
    assert significance.paired_test([1, 1, 1, 1], [0, 0, 0, 0]).p_value == pytest.approx(2 / 16, abs=0.015)
    for method in ("permutation", "wilcoxon", "t"):
        assert significance.paired_test([0.3, 0.1], [0.3, 0.1], method=method).p_value == 1
