"""Models that read the order of a history, under the two splits of the league table (chapter 20).

    python experiments/ch20_order.py                    all models
    python experiments/ch20_order.py SASRec Markov      these only; the other rows stay

The splits, the search inside each training part and the measures are those of ``ch20_nested.py``: a training part is
split once more in the same way, five settings are compared there, one dial at a time, and the best is fitted on all of
it. Networks keep the setting of their chapter, which a validation part of that chapter's task has chosen, the next
film. ``results/ch20_order.csv`` has a row a model, split and seed, ``ch20_order_users.csv`` each user's NDCG@10, mean
over the seeds, ``ch20_order_search.csv`` what was tried.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Self

import pandas as pd
import torch
from _codes import made
from _tables import SEEDS, movielens, write
from ch20_nested import around, choose, cut, text

from course_utils.data import Interactions
from course_utils.evaluation import measure_lists, measure_lists_per_user
from course_utils.models.base import Recommender
from course_utils.models.neighbors import EASE, ItemKNN
from course_utils.models.sequential import GRU4Rec, MarkovChain, SASRec


class Codes:
    """The model of chapter 19 with codes of the training matrix: made of the training part, then learned."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, interactions: Interactions) -> Self:
        """Make the codes, then train the network that writes them."""
        self.network = made("training matrix", "k-means", movielens(), interactions, self.seed).fit(interactions)
        return self

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Log probabilities of all items, ``(len(users), n_items)``."""
        return self.network.score(users)


# name -> the model by its seed and settings, and the settings that are tried; without any it is a network
MODELS: dict[str, tuple[Callable[..., Recommender], list[dict]]] = {
    "EASE, decay": (lambda seed, **s: EASE(**{"decay": 0.9} | s), around("decay", 0.8, 0.95, 0.98, 0.99)),
    "item kNN, decay": (
        lambda seed, **s: ItemKNN(**{"k": 640, "decay": 0.8} | s),
        around("decay", 0.7, 0.9, 0.95, 0.98),
    ),
    "Markov": (lambda seed, **s: MarkovChain(**s), around("decay", 0.6, 0.9, 0.95, 0.98)),
    "GRU4Rec": (lambda seed: GRU4Rec(dropout=0.3, lr=0.002, epochs=10, seed=seed), [{}]),
    "SASRec": (lambda seed: SASRec(dropout=0.3, epochs=9, seed=seed), [{}]),
    "semantic codes": (lambda seed: Codes(seed), [{}]),
}


def main(wanted: list[str]) -> None:
    """Run the wanted models, all of them when none is named; the tables are written after each model."""
    if unknown := set(wanted) - set(MODELS):
        raise SystemExit(f"unknown model(s) {sorted(unknown)}; there are {list(MODELS)}")
    data = movielens()
    for name in wanted or MODELS:
        (make, candidates), tried, rows, users = MODELS[name], [], [], []
        for split in ("random", "temporal"):
            values = []
            for seed in SEEDS:
                key, setting = {"model": name, "split": split, "seed": seed}, candidates[0]
                train, test = cut(data.ratings, split, seed)
                if len(candidates) > 1:
                    part, valid = map(data.interactions, cut(train, split, seed, inner=True))
                    for candidate in candidates:
                        found = measure_lists(make(seed, **candidate).fit(part), part, valid)["ndcg@10"]
                        tried.append({**key, "setting": text(candidate), "validation": found})
                    setting = choose(tried[-len(candidates) :], candidates)
                train, test = map(data.interactions, (train, test))
                model = make(seed, **setting).fit(train)
                measured = measure_lists(model, train, test)
                rows.append({**key, "setting": text(setting), **measured[[m for m in measured.index if "@10" in m]]})
                values.append(measure_lists_per_user(model, train, test)["ndcg@10"].rename(str))
                print(*key.values(), text(setting), f"{measured['ndcg@10']:.4f}", flush=True)
            users.append({"model": name, "split": split, **pd.concat(values, axis=1).mean(axis=1)})
        keys = ["model", "split", "seed"]
        write("ch20_order", pd.DataFrame(rows), keys=keys, keep_others=True)
        write("ch20_order_users", pd.DataFrame(users), keys=keys[:2], keep_others=True, digits=4)
        if len(candidates) > 1:
            write("ch20_order_search", pd.DataFrame(tried), keys=[*keys, "setting"], keep_others=True)


if __name__ == "__main__":
    main(sys.argv[1:])
