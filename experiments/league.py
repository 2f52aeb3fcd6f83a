"""The league table: every recommender of the book under the common protocols, on MovieLens-100K.

    python experiments/league.py              all models
    python experiments/league.py EASE ALS     these only; the other rows stay

Top-N: ``random_split``, seeds 0, 1, 2, every rating positive, full ranking (``results/league.csv``).
Ratings: ``k_fold(seed=0)``, five folds, pooled RMSE and MAE (``results/ratings.csv``).
A new model needs one line in one of the two dictionaries, or in both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Self

import pandas as pd
from _tables import SEEDS, movielens, write

from course_utils import evaluate, splits
from course_utils.als import ALS, BayesianMF, ImplicitALS
from course_utils.baselines import BiasModel, Popularity, Random, RecentPopularity
from course_utils.baskets import RuleRecommender
from course_utils.content import ContentBased, Hybrid, item_features
from course_utils.data import load_movielens
from course_utils.graph import GCNRecommender, LightGCN
from course_utils.interactions import Interactions
from course_utils.mf import MatrixFactorization
from course_utils.neighbors import EASE, ItemKNN, UserKNN


def content_based() -> ContentBased:
    """The content-based model on all descriptions of the catalogue."""
    return ContentBased(item_features(load_movielens().items))


USERS, ITEMS = 943, 1682  # the embedding model makes its tables before it sees data


class ClickEmbeddings(MatrixFactorization):
    """The embedding model, trained on clicks beside sampled negatives."""

    def fit(self, interactions: Interactions) -> Self:
        """Binary cross entropy in place of squared error."""
        return super().fit(interactions, loss="bce")


class PairEmbeddings(MatrixFactorization):
    """The embedding model, trained on pairs of a click and a sampled negative."""

    def fit(self, interactions: Interactions) -> Self:
        """BPR in place of squared error."""
        return super().fit(interactions, loss="bpr")


TOP_N: dict[str, Callable[[int], evaluate.Recommender]] = {
    "random": lambda seed: Random(seed=seed),
    "popularity": lambda seed: Popularity(),
    "recent popularity": lambda seed: RecentPopularity(),
    "bias model": lambda seed: BiasModel(),
    "association rules": lambda seed: RuleRecommender(),
    "user kNN": lambda seed: UserKNN(k=80),
    "item kNN": lambda seed: ItemKNN(k=300),
    "content-based": lambda seed: content_based(),
    "EASE": lambda seed: EASE(),
    "hybrid": lambda seed: Hybrid(content_based(), EASE()),
    "implicit ALS": lambda seed: ImplicitALS(seed=seed),
    "MF (embeddings)": lambda seed: ClickEmbeddings(USERS, ITEMS, seed=seed),
    "MF (BPR)": lambda seed: PairEmbeddings(USERS, ITEMS, seed=seed),
    "GCN": lambda seed: GCNRecommender(USERS, ITEMS, seed=seed),
    "LightGCN": lambda seed: LightGCN(USERS, ITEMS, seed=seed),
}
RATINGS: dict[str, Callable[[int], evaluate.RatingModel]] = {
    "bias model": lambda seed: BiasModel(),
    "user kNN": lambda seed: UserKNN(similarity="pearson", shrinkage=25),
    "item kNN": lambda seed: ItemKNN(similarity="adjusted_cosine", shrinkage=25),
    "ALS": lambda seed: ALS(seed=seed),
    "BayesianMF": lambda seed: BayesianMF(seed=seed),
    "MF (embeddings)": lambda seed: MatrixFactorization(USERS, ITEMS, seed=seed),
}


def top_n(names: list[str]) -> pd.DataFrame:
    """One row a model and seed: all metrics, and a bootstrap interval over users for NDCG."""
    data, rows = movielens(), []
    for seed in SEEDS:
        train, test = map(data.interactions, splits.random_split(data.ratings, seed=seed))
        for name in names:
            model = TOP_N[name](seed).fit(train)
            values = evaluate.top_n(model, train, test)
            ndcg = evaluate.top_n_per_user(model, train, test)["ndcg@10"]
            low, high = evaluate.bootstrap_interval(ndcg)
            rows.append({"model": name, "seed": seed, **values, "ndcg@10 low": low, "ndcg@10 high": high})
            print(f"{name:<20} seed {seed}  NDCG@10 {values['ndcg@10']:.4f}", flush=True)
    return pd.DataFrame(rows).sort_values("model", key=lambda c: c.map(names.index), kind="stable")


def ratings(names: list[str]) -> pd.DataFrame:
    """One row a model and fold: RMSE and MAE in stars."""
    data, rows = movielens(), []
    for fold, parts in enumerate(splits.k_fold(data.ratings, seed=0)):
        train, test = map(data.interactions, parts)
        for name in names:
            values = evaluate.ratings(RATINGS[name](fold).fit(train), test)
            rows.append({"model": name, "fold": fold, **values})
            print(f"{name:<20} fold {fold}  RMSE {values['rmse']:.4f}", flush=True)
    return pd.DataFrame(rows).sort_values("model", key=lambda c: c.map(names.index), kind="stable")


def main(wanted: list[str]) -> None:
    """Run the wanted models, all of them when none is named."""
    unknown = set(wanted) - set(TOP_N) - set(RATINGS)
    if unknown:
        raise SystemExit(f"unknown model(s) {sorted(unknown)}; there are {sorted(set(TOP_N) | set(RATINGS))}")
    for name, models, run, key in (("league", TOP_N, top_n, "seed"), ("ratings", RATINGS, ratings, "fold")):
        chosen = [model for model in models if not wanted or model in wanted]
        if chosen:
            write(name, run(chosen), keys=["model", key], keep_others=bool(wanted))


if __name__ == "__main__":
    main(sys.argv[1:])
