"""The league table: every recommender of the book under the common protocols, on MovieLens-100K.

    python experiments/ch17_league.py              all models
    python experiments/ch17_league.py EASE ALS     these only; the other rows stay

Top-N: ``random_split``, seeds 0, 1, 2, every rating positive, full ranking (``results/ch17_league.csv``).
Ratings: ``k_fold(seed=0)``, five folds, pooled RMSE and MAE (``results/ch17_ratings.csv``).
Both tables end with the gaps of the measure between two groups of users, women minus men and 35 and over minus
younger, with 95 % intervals from resampling users. For paired tests two more tables hold one value a user:
``results/ch17_league_users.csv`` NDCG@10, ``results/ch17_ratings_users.csv`` the sum of squared errors.
A new model needs one line in one of the two dictionaries, or in both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Self

import numpy as np
import pandas as pd
import torch
from _tables import SEEDS, movielens, write

from course_utils.data import Interactions, MovieLens, load_movielens, splits
from course_utils.data.features import item_features, user_features
from course_utils.evaluation import bootstrap_interval, fairness, measure_lists, measure_lists_per_user, measure_ratings
from course_utils.models.als import ALS, ImplicitALS
from course_utils.models.association_rules import RuleRecommender
from course_utils.models.base import RatingModel, Recommender
from course_utils.models.baselines import BiasModel, Popularity, Random, RecentPopularity
from course_utils.models.bayesian_mf import BayesianMF
from course_utils.models.content import ContentBased, Hybrid
from course_utils.models.embedding_mf import MatrixFactorization
from course_utils.models.factorization_machines import ContextFM
from course_utils.models.graph import GCNRecommender, LightGCN
from course_utils.models.neighbors import EASE, ItemKNN, UserKNN
from course_utils.models.two_tower import TwoTower


def content_based() -> ContentBased:
    """The content-based model on all descriptions of the catalogue."""
    return ContentBased(item_features(load_movielens().items))


def descriptions() -> dict[str, np.ndarray]:
    """What is known of users and films, for models that take both."""
    data = load_movielens()
    films = item_features(data.items, titles=0).matrix.toarray()
    return {"user_features": user_features(data.users), "item_features": films}


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


TOP_N: dict[str, Callable[[int], Recommender]] = {
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
    "MF (BPR)": lambda seed: PairEmbeddings(USERS, ITEMS, 64, seed=seed),
    "GCN": lambda seed: GCNRecommender(USERS, ITEMS, seed=seed),
    "LightGCN": lambda seed: LightGCN(USERS, ITEMS, seed=seed),
    "two-tower": lambda seed: TwoTower(USERS, ITEMS, **descriptions(), seed=seed),
}
RATINGS: dict[str, Callable[[int], RatingModel]] = {
    "bias model": lambda seed: BiasModel(),
    "user kNN": lambda seed: UserKNN(similarity="pearson", shrinkage=25),
    "item kNN": lambda seed: ItemKNN(similarity="adjusted_cosine", shrinkage=25),
    "ALS": lambda seed: ALS(seed=seed),
    "BayesianMF": lambda seed: BayesianMF(seed=seed),
    "MF (embeddings)": lambda seed: MatrixFactorization(USERS, ITEMS, seed=seed),
    "FM with context": lambda seed: ContextFM(**descriptions(), seed=seed),
}


def gaps(data: MovieLens, values: np.ndarray, users: np.ndarray, *, root: bool = False) -> dict[str, float]:
    """The gap of a measure by gender and by age (chapter 13), with intervals.

    Args:
        data: MovieLens, for the groups of its users.
        values: one a row, ``(n,)``: NDCG of a user, squared error of a rating.
        users: code of the user whose row it is, ``(n,)``.
        root: the measure is the root of the mean, RMSE.
    """
    people, columns = data.users, {}
    for name, second in (("gender", people["gender"] == "F"), ("age", people["age"] >= 35)):
        found = fairness.group_gap(values, second.to_numpy().astype(int)[users], users=users, root=root)
        columns |= {f"{name} gap": found.difference, f"{name} gap low": found.low, f"{name} gap high": found.high}
    return columns


def in_order(rows: list[dict], names: list[str]) -> pd.DataFrame:
    """The rows as a table, models in the order of their names."""
    return pd.DataFrame(rows).sort_values("model", key=lambda c: c.map(names.index), kind="stable")


def top_n(names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a model and seed: all metrics, a bootstrap interval for NDCG, the gaps; and NDCG of each user."""
    data, rows, users = movielens(), [], []
    for seed in SEEDS:
        train, test = map(data.interactions, splits.random_split(data.ratings, seed=seed))
        for name in names:
            model, key = TOP_N[name](seed).fit(train), {"model": name, "seed": seed}
            values = measure_lists(model, train, test)
            ndcg = measure_lists_per_user(model, train, test)["ndcg@10"]
            low, high = bootstrap_interval(ndcg)
            apart = gaps(data, ndcg.to_numpy(), train.user_ids.get_indexer(ndcg.index))
            rows.append({**key, **values, "ndcg@10 low": low, "ndcg@10 high": high, **apart})
            users.append({**key, **ndcg.rename(str)})
            print(f"{name:<20} seed {seed}  NDCG@10 {values['ndcg@10']:.4f}", flush=True)
    return in_order(rows, names), in_order(users, names)


def ratings(names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a model and fold: RMSE and MAE in stars, the gaps of RMSE; and the squared errors of each user."""
    data, rows, users = movielens(), [], []
    for fold, parts in enumerate(splits.k_fold(data.ratings, seed=0)):
        train, test = map(data.interactions, parts)
        for name in names:
            model, key = RATINGS[name](fold).fit(train), {"model": name, "fold": fold}
            values = measure_ratings(model, test)
            with torch.no_grad():
                squared = (model.predict(test.users, test.items).clamp(1, 5) - test.ratings).square()
            apart = gaps(data, squared.numpy(), test.users.numpy(), root=True)
            rows.append({**key, **values, **apart})
            total = torch.bincount(test.users, squared, minlength=test.n_users)
            users.append({**key, **pd.Series(total.numpy(), test.user_ids.astype(str))})
            print(f"{name:<20} fold {fold}  RMSE {values['rmse']:.4f}", flush=True)
    return in_order(rows, names), in_order(users, names)


def main(wanted: list[str]) -> None:
    """Run the wanted models, all of them when none is named."""
    unknown = set(wanted) - set(TOP_N) - set(RATINGS)
    if unknown:
        raise SystemExit(f"unknown model(s) {sorted(unknown)}; there are {sorted(set(TOP_N) | set(RATINGS))}")
    for name, models, run, key in (("ch17_league", TOP_N, top_n, "seed"), ("ch17_ratings", RATINGS, ratings, "fold")):
        chosen = [model for model in models if not wanted or model in wanted]
        if chosen:
            table, users = run(chosen)
            write(name, table, keys=["model", key], keep_others=bool(wanted))
            write(f"{name}_users", users, keys=["model", key], keep_others=bool(wanted), digits=4)


if __name__ == "__main__":
    main(sys.argv[1:])
