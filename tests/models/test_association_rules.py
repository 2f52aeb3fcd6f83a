import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.frequent_patterns import apriori, association_rules, fpgrowth

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, NotFittedError
from course_utils.evaluation import protocol
from course_utils.models import association_rules as module
from course_utils.models.association_rules import (
    RuleRecommender,
    basket_interactions,
    frequent_itemsets,
    rule_measures,
    rules,
)
from course_utils.models.baselines import Popularity

TOY = ["bread milk", "bread milk butter", "bread milk", "milk", "bread milk beer"]
TOY += ["milk beer", "bread milk butter", "milk beer", "bread butter", "milk"]


def lines(receipts):
    pairs = [(n, item) for n, items in enumerate(receipts) for item in items]
    return pd.DataFrame(pairs, columns=["basket_id", "product_id"])


@pytest.fixture
def toy():
    return basket_interactions(lines(text.split() for text in TOY))


receipts = st.lists(st.sets(st.sampled_from("abcde"), min_size=1), min_size=1, max_size=12)


def test_basket_matrix_counts_an_item_once_and_leaves_out_missing_ones():
    table = pd.DataFrame({"basket_id": [7, 7, 7, 3], "product_id": ["b", "b", "a", None]})
    coded = basket_interactions(table)
    assert coded.csr(binary=True).toarray().tolist() == [[1, 1]]
    coded = basket_interactions(table, basket_ids=[3, 7], item_ids=["b", "z"])
    assert coded.csr(binary=True).toarray().tolist() == [[0, 0], [1, 0]]


def test_baskets_at_another_level():
    table = pd.DataFrame({"trip": [1, 1, 2], "kind": ["milk", "milk", "beer"]})
    assert basket_interactions(table, basket="trip", item="kind").csr().toarray().tolist() == [[0, 1], [1, 0]]


def test_basket_ids_leave_out_other_baskets():
    coded = basket_interactions(lines(["a", "b"]), basket_ids=[1])
    assert coded.n_users == 1
    assert coded.item_ids.tolist() == ["b"]


@pytest.mark.parametrize("column", ["basket_id", "product_id"])
def test_a_missing_column_is_named(column):
    with pytest.raises(InputError, match=column):
        basket_interactions(lines(["a"]).drop(columns=column))


def test_measures_of_the_hand_example():
    bread_milk, butter_bread = rule_measures([0.5, 0.3], [0.6, 0.3], [0.9, 0.6]).to_numpy()
    np.testing.assert_allclose(bread_milk, [1 / 2, 5 / 6, 25 / 27, -1 / 25, 3 / 5], rtol=1e-12)
    np.testing.assert_allclose(butter_bread, [0.3, 1, 5 / 3, 0.12, np.inf], rtol=1e-12)


def test_measures_take_one_number_for_all():
    table = rule_measures([0.2, 0.45], [0.25, 0.5], 0.9)
    assert table.confidence.tolist() == [0.8, 0.9]
    assert table.leverage.round(12).tolist() == [-0.025, 0.0]
    assert len(rule_measures([], [], [])) == 0


@pytest.mark.parametrize(
    ("three", "argument"),
    [
        ((0.1, 0.0, 0.5), "support_if"),
        ((0.1, 0.5, 1.1), "support_then"),
        ((0.3, 0.2, 0.5), "support"),
        ((0.1, 0.9, 0.9), "support"),
        ((np.nan, 0.9, 0.9), "support"),
        ((0.1, np.nan, 0.9), "support_if"),
    ],
)
def test_impossible_supports_are_refused(three, argument):
    with pytest.raises(InputError) as caught:
        rule_measures(*three)
    assert caught.value.argument == argument


def test_frequent_sets_of_the_toy(toy):
    sets = frequent_itemsets(toy, 0.3)  # 0.3 * 10 is a little above 3 in floating point; 3 baskets are enough
    counts = {"".join(sorted(s)): round(10 * v) for s, v in zip(sets.itemsets, sets.support, strict=True)}
    expected = {"beer": 3, "bread": 6, "butter": 3, "milk": 9}
    assert counts == expected | {"breadmilk": 5, "breadbutter": 3, "beermilk": 3}
    assert set(frequent_itemsets(toy, 0.3, max_length=1).itemsets.map(len)) == {1}
    assert frequent_itemsets(toy, 1.0).empty


def test_rules_of_the_toy(toy):
    table = rules(frequent_itemsets(toy, 0.3))
    assert len(table) == 6
    named = table.set_index([table.antecedents.map(min), table.consequents.map(min)])
    np.testing.assert_allclose(named.loc[("bread", "milk"), "lift"], 25 / 27)
    assert named.confidence.is_monotonic_decreasing
    named = rules(frequent_itemsets(toy, 0.1))
    words = [named[c].map(lambda items: " ".join(sorted(items))) for c in ("antecedents", "consequents")]
    rows = list(zip(-named.confidence, -named.support, *words, strict=True))
    assert len(rows) == 22
    assert rows == sorted(rows)  # whatever the hash seed of this process
    assert len(rules(frequent_itemsets(toy, 0.3), 0.9)) == 2
    empty = rules(frequent_itemsets(toy, 0.7))
    assert empty.empty
    assert set(empty.columns) == set(table.columns)


@pytest.mark.parametrize("bad", [0, 1.5, -1, np.nan])
def test_bad_thresholds_are_refused(toy, bad):
    with pytest.raises(InputError, match="min_support"):
        frequent_itemsets(toy, bad)
    if bad != 0:
        with pytest.raises(InputError, match="min_confidence"):
            rules(frequent_itemsets(toy, 0.3), bad)


def test_no_baskets_are_refused():
    with pytest.raises(InputError, match="baskets"):
        frequent_itemsets(basket_interactions(lines([])), 0.5)


@settings(max_examples=60, deadline=None)
@given(receipts, st.integers(1, 6), st.sampled_from([None, 1, 2, 3]))
def test_frequent_sets_equal_a_count_of_all_sets(baskets, least, longest):
    coded = basket_interactions(lines(baskets))
    found = frequent_itemsets(coded, min(1.0, least / len(baskets)), max_length=longest)
    assert found.itemsets.is_unique
    counted = {}
    for size in range(1, (longest or 5) + 1):
        for chosen in map(frozenset, itertools.combinations("abcde", size)):
            count = sum(chosen <= basket for basket in baskets)
            if count >= min(least, len(baskets)):
                counted[chosen] = count / len(baskets)
    assert dict(zip(found.itemsets, found.support, strict=True)) == counted  # to the last bit


def test_no_table_of_all_baskets_is_made(monkeypatch):
    generator = np.random.default_rng(0)
    common = generator.random((4000, 60)) < np.geomspace(0.2, 0.005, 60)
    coded = basket_interactions(lines(row.nonzero()[0] for row in common))
    shapes = []

    def mined(frame, **options):
        shapes.append(frame.shape)
        return fpgrowth(frame, **options)

    monkeypatch.setattr(module, "fpgrowth", mined)
    sets = frequent_itemsets(coded, 0.002)
    pairs = sets.itemsets[sets.itemsets.map(len) == 2]
    assert len(pairs) > 100
    assert sum(columns for _, columns in shapes) == len(pairs)  # a column is a frequent pair
    assert max(rows for rows, _ in shapes) < 800  # the most common item is in a fifth of them


def test_mining_leaves_the_warnings_of_other_libraries_alone():
    loud = "('always', None, DeprecationWarning, None, 0)"
    code = f"import warnings, course_utils.models.association_rules; assert {loud} not in warnings.filters"
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(max_examples=25, deadline=None)
@given(receipts)
def test_rules_equal_those_of_mlxtend(baskets):
    coded = basket_interactions(lines(baskets))
    frame = pd.DataFrame(coded.csr(binary=True).toarray().astype(bool), columns=coded.item_ids)
    sets = apriori(frame, min_support=0.2, use_colnames=True)
    table = rules(frequent_itemsets(coded, 0.2), 0.5)
    if sets.empty or sets.itemsets.map(len).max() < 2:
        assert table.empty
        return
    keys = ["antecedents", "consequents"]
    theirs = association_rules(sets, min_threshold=0.5).set_index(keys)
    assert len(theirs) == len(table)
    theirs = theirs.loc[list(map(tuple, table[keys].to_numpy()))]
    for name in ("support", "confidence", "lift", "leverage", "conviction"):
        np.testing.assert_allclose(table[name], theirs[name], atol=1e-12)


def naive(coded, histories, users, min_count, by, combine):
    """The recommender's definition, one user, one item and one rule at a time."""
    x, n = coded.csr(binary=True).toarray(), coded.n_users
    scores = np.zeros((len(users), coded.n_items))
    for row, user in enumerate(users):
        owned = np.flatnonzero(histories.csr(binary=True).toarray()[user])
        for j in range(coded.n_items):
            worth = []
            for i in owned:
                both = (x[:, i] * x[:, j]).sum()
                if i != j and both >= min_count:
                    s, a, b = both / n, x[:, i].mean(), x[:, j].mean()
                    worth.append({"confidence": s / a, "lift": s / (a * b), "leverage": s - a * b}[by])
            scores[row, j] = sum(worth) if combine == "sum" else max([0, *worth])
    return scores


@pytest.mark.parametrize("combine", ["best", "sum"])
@pytest.mark.parametrize("by", ["confidence", "lift", "leverage"])
def test_scores_equal_the_naive_loop(by, combine):
    generator = np.random.default_rng(0)
    baskets = [set(generator.choice(list("abcdefgh"), generator.integers(1, 6))) for _ in range(40)]
    coded = basket_interactions(lines(baskets))
    users = torch.tensor([5, 0, 5, 39])
    model = RuleRecommender(4, by, combine).fit(coded)
    expected = naive(coded, coded, users.tolist(), 4, by, combine)
    np.testing.assert_allclose(model.score(users), expected, atol=2e-9)
    started = basket_interactions(lines([{"a"}, {"b", "c"}]), item_ids=coded.item_ids)
    model.fit(coded, histories=started)
    expected = naive(coded, started, [1, 0], 4, by, combine)
    np.testing.assert_allclose(model.score(torch.tensor([1, 0])), expected, atol=2e-9)


def test_bread_says_milk_by_confidence_and_butter_by_lift(toy):
    bread = basket_interactions(lines([["bread"]]), item_ids=toy.item_ids)
    for by, best in (("confidence", "milk"), ("lift", "butter"), ("leverage", "butter")):
        model = RuleRecommender(1, by, "best").fit(toy, histories=bread)
        items, _ = protocol.recommend(model, torch.tensor([0]), 1, exclude=bread)
        assert toy.item_ids[int(items[0, 0])] == best


def test_items_without_a_rule_come_by_popularity(toy):
    model = RuleRecommender(100).fit(toy)
    users = torch.arange(toy.n_users)
    ranking = model.score(users).argsort(dim=1, descending=True, stable=True)
    assert torch.equal(
        ranking, Popularity().fit(toy).score(users).argsort(dim=1, descending=True, stable=True)
    )


def test_rules_can_be_fitted_and_applied_apart(toy):
    other = basket_interactions(lines([["bread"]]))
    with pytest.raises(InputError, match="histories"):
        RuleRecommender().fit(toy, histories=other)
    with pytest.raises(InputError, match="users"):
        RuleRecommender().fit(toy).score(torch.tensor([10]))
    with pytest.raises(InputError, match="users"):
        RuleRecommender().fit(toy).score(torch.tensor([-1]))


def test_bad_arguments_and_no_fit():
    for wrong in ({"min_count": 0}, {"by": "love"}, {"combine": "mean"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            RuleRecommender(**wrong)
    with pytest.raises(NotFittedError):
        RuleRecommender().score(torch.tensor([0]))
    empty = Interactions.from_frame(pd.DataFrame({"user_id": [], "item_id": []}), user_ids=[1], item_ids=[1])
    with pytest.raises(InputError, match="interactions"):
        RuleRecommender().fit(empty)
