"""The forms in which an argument may come, at every public door that takes one of its kind."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from shared import refusals

from course_utils import ranking
from course_utils.data import splits
from course_utils.data.features import item_features, user_features
from course_utils.data.interactions import Interactions, check_codes
from course_utils.errors import InputError, check_counts
from course_utils.evaluation import beyond_accuracy, fairness, metrics, protocol, significance
from course_utils.learning import loop, losses, negatives
from course_utils.models import als, association_rules, bayesian_mf, dlrm, embedding_mf, factorization_machines
from course_utils.models.association_rules import RuleRecommender, basket_interactions
from course_utils.models.baselines import BiasModel
from course_utils.models.graph import LightGCN
from course_utils.models.neighbors import ItemKNN
from course_utils.models.two_tower import TwoTower
from course_utils.simulation.bandits import UCB1

TABLE = pd.DataFrame({"user_id": [0, 0, 1, 2], "item_id": [0, 1, 1, 2], "rating": [1.0, 5, 3, 4]})
DATA = Interactions.from_frame(TABLE, user_ids=range(3), item_ids=range(4))
LISTS, RELEVANT = torch.tensor([[0, 1]]), torch.ones(1, 3, dtype=torch.bool)

COUNTS = {  # each takes a whole number of 1 or more; 2 does everywhere
    "top_k": lambda n: ranking.top_k(torch.rand(2, 5), n),
    "shortlist": lambda n: ranking.shortlist(torch.rand(2, 5), n),
    "mmr": lambda n: ranking.mmr(torch.rand(2, 5), torch.eye(5), n),
    "precision": lambda n: metrics.precision_at_k(LISTS, RELEVANT, n),
    "ndcg": lambda n: metrics.ndcg_at_k(LISTS, RELEVANT, n),
    "recommend": lambda n: protocol.recommend(BiasModel().fit(DATA), [0], n),
    "bootstrap": lambda n: significance.bootstrap_interval([1.0, 2.0], samples=n),
    "paired_test": lambda n: significance.paired_test([1.0, 2.0], [0.0, 0.0], samples=n),
    "k_fold": lambda n: list(splits.k_fold(TABLE, n)),
    "leave_last_out": lambda n: splits.leave_last_out(TABLE.assign(timestamp=1), n),
    "batches": lambda n: next(iter(loop.batches(torch.arange(4), batch_size=n))),
    "uniform": lambda n: negatives.uniform(DATA, torch.tensor([0]), n, generator=torch.Generator()),
    "lambdarank": lambda n: losses.lambdarank_loss(torch.rand(1, 3), torch.rand(1, 3), k=n),
    "ALS": lambda n: als.ALS(factors=n, iterations=1).fit(DATA),
    "ImplicitALS": lambda n: als.ImplicitALS(factors=n, iterations=1).fit(DATA),
    "BayesianMF": lambda n: bayesian_mf.BayesianMF(factors=1, samples=n, burn_in=0).fit(DATA),
    "MatrixFactorization": lambda n: embedding_mf.MatrixFactorization(3, 4, n),
    "LightGCN": lambda n: LightGCN(3, 4, n),
    "TwoTower": lambda n: TwoTower(3, 4, factors=n),
    "ItemKNN": lambda n: ItemKNN(n).fit(DATA),
    "ContextFM": lambda n: factorization_machines.ContextFM(factors=n),
    "RuleRecommender": lambda n: RuleRecommender(n),
    "CrossNetwork": lambda n: dlrm.CrossNetwork(3, n),
    "UCB1": lambda n: UCB1(n, 2),
}


@pytest.mark.parametrize("name", COUNTS)
class TestCounts:
    @pytest.mark.parametrize("kind", [int, np.int64, np.int32, np.uint8])
    def test_whole_numbers_of_every_type(self, name, kind):
        COUNTS[name](kind(2))

    @pytest.mark.parametrize("wrong", [0, -1, True, 2.0, 1.5, "2", None, np.float64(2), np.nan])
    def test_others_are_refused_by_name(self, name, wrong):
        if wrong is None and name == "lambdarank":
            return  # no cut
        with pytest.raises(InputError, match=r"[a-z_]+: got .*, expected a whole number"):
            COUNTS[name](wrong)


FORMS = [list, tuple, np.array, torch.tensor, pd.Series]
FORMS += [lambda c: np.array(c, np.uint8), lambda c: np.array(c, float)]
MODEL = BiasModel().fit(DATA)
CODES = {
    "check_codes": lambda c: check_codes(c, 3, "users"),
    "recommend": lambda c: protocol.recommend(MODEL, c, 2, DATA)[0],
    "lists": lambda c: metrics.precision_at_k([list(c)], RELEVANT, 1),
    "coverage": lambda c: torch.tensor(beyond_accuracy.catalog_coverage([list(c)], 3)),
    "exposure": lambda c: fairness.exposure([list(c)], 3),
}


@pytest.mark.parametrize("name", CODES)
class TestCodes:
    @pytest.mark.parametrize("form", FORMS)
    def test_forms(self, name, form):
        assert torch.equal(CODES[name](form([2, 0])), CODES[name](torch.tensor([2, 0])))

    @pytest.mark.parametrize("wrong", [[1.9, 0.0], [np.nan, 0.0], ["0", "1"], [True, False], [7, 0]])
    def test_what_is_no_code(self, name, wrong):
        with pytest.raises(InputError, match=r"users|items|recommended"):
            CODES[name](wrong)


def test_counts_are_scores():
    popularity = SimpleNamespace(score=lambda users: torch.bincount(DATA.items, minlength=4).repeat(len(users), 1))
    items, scores = protocol.recommend(popularity, [0, 1], 3, DATA)
    assert items.tolist() == [[2, 3, -1], [0, 2, 3]]
    assert scores[0].tolist() == [1, 0, -torch.inf]
    whole = torch.tensor([[3, 2, 1]])
    assert ranking.mmr(whole, torch.eye(3), 3).tolist() == [[0, 1, 2]]
    assert ranking.shortlist(whole, 2)[0].tolist() == [[0, 1]]
    assert ranking.dpp(whole, torch.eye(3), 2).tolist() == [[0, 1]]


def test_rules_of_a_part_of_the_sets():
    lines = pd.DataFrame({"basket_id": [1, 1, 2, 2, 3], "product_id": [10, 11, 10, 11, 12]})
    sets = association_rules.frequent_itemsets(basket_interactions(lines), 0.3)
    assert len(association_rules.rules(sets)) == 2
    with pytest.raises(InputError, match="itemsets: got sets whose parts are missing"):
        association_rules.rules(sets[sets.itemsets.map(len) == 2])


ITEMS = pd.DataFrame({"title": ["Alpha", "Beta"], "year": [1990, 1991], "genres": ["Drama", "War"]})


@pytest.mark.parametrize("change", [{"title": ["Alpha", None]}, {"genres": ["Drama", None]}])
def test_a_missing_word_is_none(change):
    names = item_features(ITEMS.assign(**change)).names
    assert not [name for name in names if "none" in name.lower() or "nan" in name.lower()]


TABLES = [
    (item_features, ITEMS, "genres"),
    (user_features, pd.DataFrame({"age": [1], "gender": "F", "occupation": "x"}), "age"),
    (basket_interactions, pd.DataFrame({"basket_id": [1], "product_id": [2]}), "product_id"),
    (Interactions.from_frame, TABLE, "rating"),
]
NO_WORDS = [("titles", "title", ["The", "Of"]), ("genres", "genres", ""), ("years", "year", None)]
TEXT_IDS = r".*unknown id\(s\) \[0, 1, 2\] of type integer.* of type string"
test_refusals = refusals(
    *((f".*2 columns '{name}'", call, pd.concat([table, table[[name]]], axis=1)) for call, table, name in TABLES),
    *((f"items, {p}: got no word .* or {p}=0", item_features, ITEMS.assign(**{c: x})) for p, c, x in NO_WORDS),
    *((TEXT_IDS, Interactions.from_frame, TABLE, {"user_ids": ids}) for ids in (["0", "1", "2"], pd.Index([*"abc"]))),
    ("b: got 4, expected a whole number in 0..3", check_counts, 0, 3, {"a": 0, "b": 4}),
    ("k: got 1000000000000, expected a whole number in 1..2", metrics.ndcg_at_k, LISTS, RELEVANT, 10**12),
    ("user_ids: got a DataFrame", Interactions.from_frame, TABLE, {"user_ids": TABLE[["user_id"]]}),
)
