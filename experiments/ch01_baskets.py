"""Which recommender fills in a hidden item of a grocery basket? Popularity, rules, or what the household buys anyway.

    python experiments/ch01_baskets.py

Complete Journey, three test months: October, November, December. Everything before the month is training. The
catalogue is the 2,000 products in most training baskets. Of each basket of the month with two or more of them one is
hidden, at random; the rest is visible. All products that are not visible are ranked (``results/ch01_baskets.csv``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from _tables import write
from scipy import sparse

import course_utils
from course_utils.data import load_complete_journey
from course_utils.evaluation import measure_lists
from course_utils.models.association_rules import RuleRecommender, basket_interactions
from course_utils.models.baselines import Popularity

MONTHS = (10, 11, 12)
N_PRODUCTS = 2_000
RULES = {
    "rules, best confidence": ("confidence", "best"),
    "rules, best lift": ("lift", "best"),
    "rules, best leverage": ("leverage", "best"),
    "rules, sum of confidences": ("confidence", "sum"),
}


class Habits:
    """What the household has bought in most of its baskets before; popularity decides ties."""

    def __init__(self, past: pd.DataFrame, households: np.ndarray, item_ids: pd.Index) -> None:
        known = pd.Index(past.household_id.unique())
        place = (known.get_indexer(past.household_id), item_ids.get_indexer(past.product_id))
        counts = sparse.csr_array((np.ones(len(past)), place), shape=(len(known), len(item_ids)))
        self.counts, self.codes = counts, known.get_indexer(households)  # -1: a new household
        self.popularity = counts.sum(axis=0) / 1e9

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Counts, ``(len(users), n_items)``."""
        codes = self.codes[users.numpy()]
        rows = np.where(codes[:, None] >= 0, self.counts[codes].toarray(), 0)
        return torch.from_numpy(rows + self.popularity)


def main() -> None:
    """One row a model and month."""
    course_utils.setup(threads=1)
    columns = ["household_id", "basket_id", "product_id", "transaction_timestamp"]
    lines = load_complete_journey({"transactions": columns})["transactions"]
    lines = lines.drop_duplicates(["basket_id", "product_id"])
    when, rows = lines.transaction_timestamp, []
    month = when.dt.month.mask(when.dt.year > 2017, 13)  # the last night ends in 2018
    for test_month in MONTHS:
        past = lines[month < test_month]
        counts = past.product_id.value_counts(sort=False)
        catalogue = counts.nlargest(N_PRODUCTS).index.sort_values()  # of equals, what was bought first
        past = past[past.product_id.isin(catalogue)]
        now = lines[(month == test_month) & lines.product_id.isin(catalogue)]
        now = now[now.groupby("basket_id").product_id.transform("size") >= 2]
        hidden = now.sample(frac=1, random_state=0).drop_duplicates("basket_id")
        ids = pd.Index(np.sort(hidden.basket_id))
        coded = {"basket_ids": ids, "item_ids": catalogue}
        train = basket_interactions(past, item_ids=catalogue)
        visible, target = (basket_interactions(p, **coded) for p in (now.drop(hidden.index), hidden))
        models = {"popularity": Popularity().fit(train)}
        for name, (by, combine) in RULES.items():
            models[name] = RuleRecommender(10, by, combine).fit(train, histories=visible)
        household = hidden.set_index("basket_id").household_id[ids].to_numpy()
        models["habits of the household"] = Habits(past, household, catalogue)
        for name, model in models.items():
            values = measure_lists(model, visible, target)
            rows.append({"model": name, "month": test_month, "baskets": len(ids), **values})
            print(f"{name:<26} month {test_month}  hit rate@10 {values['hit_rate@10']:.4f}", flush=True)
    table = pd.DataFrame(rows).drop(columns=["capped_recall@10", "recall@10", "precision@10", "novelty@10"])
    names = list(dict.fromkeys(table.model))
    table = table.sort_values("model", key=lambda c: c.map(names.index), kind="stable")
    write("ch01_baskets", table, keys=["model", "month"])


if __name__ == "__main__":
    main()
