import itertools
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlxtend.frequent_patterns import apriori, association_rules, fpgrowth
from shared import python, refusals

from course_utils.models import association_rules as module
from course_utils.models.association_rules import RuleRecommender, basket_interactions, frequent_itemsets, rules


def lines(receipts):
    pairs = [(n, item) for n, items in enumerate(receipts) for item in items]
    return pd.DataFrame(pairs, columns=["basket_id", "product_id"])


TOY = "bread milk,bread milk butter,bread milk,milk,bread milk beer,milk beer,bread milk butter,milk beer"
TOY = basket_interactions(lines(text.split() for text in f"{TOY},bread butter,milk".split(",")))
BREAD = basket_interactions(lines([["bread"]]), item_ids=TOY.item_ids)
RECEIPTS = st.lists(st.sets(st.sampled_from("abcde"), min_size=1), min_size=1, max_size=12)
CODED = [
    ({}, [[1, 1]]),  # basket 3 has a line without an item
    ({"basket_ids": [3, 7], "item_ids": ["b", "z"]}, [[0, 0], [1, 0]]),
    ({"basket_ids": [3]}, [[]]),
    ({"item": "level"}, [[0, 1], [1, 1]]),
]
test_refusals = refusals(
    *((f".*'{c}'", basket_interactions, lines(["a"]).drop(columns=c)) for c in ("basket_id", "product_id")),
    *(("support_if", module.rule_measures, 0.1, bad, 0.5) for bad in (0.0, np.nan)),
    ("support_then", module.rule_measures, 0.1, 0.5, 1.1),
    *(("support", module.rule_measures, *bad) for bad in ((0.3, 0.2, 0.5), (0.1, 0.9, 0.9), (np.nan, 0.9, 0.9))),
    ("baskets", frequent_itemsets, basket_interactions(lines([])), 0.5),
    *(("min_support", frequent_itemsets, TOY, bad) for bad in (0, 1.5, -1, np.nan)),
    *(("min_confidence", rules, frequent_itemsets(TOY, 0.3), bad) for bad in (1.5, -1, np.nan)),
    *((name, RuleRecommender, {name: "love"}) for name in ("by", "combine")),
    ("histories", RuleRecommender().fit, TOY, {"histories": basket_interactions(lines([["bread"]]))}),
    ("users", RuleRecommender().fit(TOY, histories=BREAD).score, [1]),  # a basket of TOY, and of no history
)


def naive(coded, histories, min_count, by, combine):
    """The recommender's definition, one user, one item and one rule at a time."""
    x, owned = (each.csr(binary=True).toarray() for each in (coded, histories))
    scores = np.zeros(owned.shape)
    for user, j in np.ndindex(owned.shape):
        worth = []
        for i in np.flatnonzero(owned[user]):
            both = (x[:, i] * x[:, j]).sum()
            if i != j and both >= min_count:
                s, a, b = both / len(x), x[:, i].mean(), x[:, j].mean()
                worth.append({"confidence": s / a, "lift": s / (a * b), "leverage": s - a * b}[by])
        scores[user, j] = sum(worth) if combine == "sum" else max([0, *worth])
    return scores


class TestMining:
    @pytest.mark.parametrize(("options", "matrix"), CODED)
    def test_basket_matrix_counts_an_item_once_and_leaves_out_the_others(self, options, matrix):
        table = pd.DataFrame({"basket_id": [7, 7, 7, 3], "product_id": ["b", "b", "a", None], "level": [1, 1, 0, 1]})
        assert basket_interactions(table, **options).csr(binary=True).toarray().tolist() == matrix

    def test_measures_take_single_numbers_and_none(self):
        one_for_all = module.rule_measures([0.2, 0.45], [0.25, 0.5], 0.9)
        np.testing.assert_allclose(one_for_all[["confidence", "leverage"]], [[0.8, -0.025], [0.9, 0]], atol=1e-12)
        assert len(module.rule_measures([], [], [])) == 0

    def test_rules_of_the_toy(self):
        table = rules(frequent_itemsets(TOY, 0.1))
        words = [table[side].map(lambda items: " ".join(sorted(items))) for side in ("antecedents", "consequents")]
        rows = list(zip(-table.confidence, -table.support, *words, strict=True))
        assert len(rows) == 22
        assert rows == sorted(rows)  # whatever the hash seed of this process
        found = [rules(frequent_itemsets(TOY, support), least) for support, least in ((0.3, 0), (0.3, 0.9), (0.7, 0))]
        assert [len(one) for one in found] == [6, 2, 0]
        assert all(one.columns.equals(table.columns) for one in found)

    @given(RECEIPTS, st.integers(1, 6))
    def test_frequent_sets_equal_a_count_of_all_sets(self, baskets, least):
        found = frequent_itemsets(basket_interactions(lines(baskets)), min(1.0, least / len(baskets)))
        assert found.itemsets.is_unique
        sets = [frozenset(s) for size in range(1, 6) for s in itertools.combinations("abcde", size)]
        counts = {chosen: sum(chosen <= basket for basket in baskets) for chosen in sets}
        shares = {chosen: n / len(baskets) for chosen, n in counts.items() if n >= min(least, len(baskets))}
        assert dict(zip(found.itemsets, found.support, strict=True)) == shares  # to the last bit

    def test_a_share_that_rounds_up_asks_for_no_more_baskets(self):
        baskets = basket_interactions(lines([["a"]] * 7 + [["b"]] * 18))  # 0.28 * 25 is a little above 7
        assert set(frequent_itemsets(baskets, 0.28).itemsets) == {frozenset("a"), frozenset("b")}

    def test_no_table_of_all_baskets_is_made(self):
        common = np.random.default_rng(0).random((4000, 60)) < np.geomspace(0.2, 0.005, 60)
        coded = basket_interactions(lines(row.nonzero()[0] for row in common))
        with mock.patch.object(module, "fpgrowth", wraps=fpgrowth) as mined:
            pairs = (frequent_itemsets(coded, 0.002).itemsets.map(len) == 2).sum()
        shapes = [call.args[0].shape for call in mined.call_args_list]
        assert pairs > 100
        assert sum(columns for _, columns in shapes) == pairs  # a column is a frequent pair
        assert max(rows for rows, _ in shapes) < 800  # the most common item is in a fifth of them

    def test_mining_leaves_the_warnings_of_other_libraries_alone(self):
        loud = "('always', None, DeprecationWarning, None, 0)"
        code = f"import warnings, course_utils.models.association_rules; assert {loud} not in warnings.filters"
        python(code, check=True)

    @given(RECEIPTS)
    def test_rules_equal_those_of_mlxtend(self, baskets):
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
        np.testing.assert_allclose(table[table.columns[2:]], theirs[table.columns[2:]], atol=1e-12)


class TestRuleRecommender:
    @pytest.mark.parametrize("combine", ["best", "sum"])
    @pytest.mark.parametrize("by", ["confidence", "lift", "leverage"])
    def test_scores_equal_the_naive_loop(self, by, combine):
        generator = np.random.default_rng(0)
        baskets = [set(generator.choice(list("abcdefgh"), generator.integers(1, 6))) for _ in range(40)]
        coded = basket_interactions(lines(baskets))
        started = basket_interactions(lines([{"a"}, {"b", "c"}]), item_ids=coded.item_ids)
        for histories in (coded, started):
            scores = RuleRecommender(4, by, combine).fit(coded, histories=histories).score(range(histories.n_users))
            np.testing.assert_allclose(scores, naive(coded, histories, 4, by, combine), atol=2e-9)

    def test_items_without_a_rule_come_by_popularity(self):
        scores = RuleRecommender(100).fit(TOY).score(range(10))
        np.testing.assert_allclose(scores, np.tile(1e-9 * TOY.csr(binary=True).mean(axis=0), (10, 1)))
