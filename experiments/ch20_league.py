"""The league table: every recommender of the book with the settings of its chapter, on MovieLens-100K.

    python experiments/ch20_league.py              all models
    python experiments/ch20_league.py EASE ALS     these only; the other rows stay

Top-N: ``random_split``, seeds 0, 1, 2, every rating positive, full ranking (``results/ch20_league.csv``).
Ratings: ``k_fold(seed=0)``, five folds, pooled RMSE and MAE (``results/ch20_ratings.csv``).
Both tables end with the gaps of the measure between two groups of users, women minus men and 35 and over minus
younger, with 95 % intervals from resampling users. For paired tests two more tables hold one value a user:
``results/ch20_league_users.csv`` NDCG@10, ``results/ch20_ratings_users.csv`` the sum of squared errors.
A new model needs one line at the end of one of the two dictionaries, or of both, for a run of it alone puts its rows
at the end of the table, and one in ``experiments/ch20_nested.py``, which chooses settings inside each split and adds
splits in time: what chapter 20 shows.
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
from course_utils.models.autoencoders import AutoRec, MultDAE, MultVAE
from course_utils.models.base import RatingModel, Recommender
from course_utils.models.baselines import BiasModel, Popularity, Random, RecentPopularity
from course_utils.models.bayesian_mf import BayesianMF
from course_utils.models.content import ContentBased, Hybrid
from course_utils.models.embedding_mf import MatrixFactorization
from course_utils.models.factorization_machines import ContextFM
from course_utils.models.graph import GCNRecommender, LightGCN
from course_utils.models.neighbors import EASE, ItemKNN, UserKNN
from course_utils.models.neural_cf import NeuMF
from course_utils.models.two_tower import TwoTower


def content_based(**settings: object) -> ContentBased:
    """The content-based model on all descriptions of the catalogue."""
    return ContentBased(item_features(load_movielens().items), **settings)


def descriptions() -> dict[str, np.ndarray]:
    """What is known of users and films, for models that take both."""
    data = load_movielens()
    films = item_features(data.items, titles=0).matrix.toarray()
    return {"user_features": user_features(data.users), "item_features": films}


USERS, ITEMS = 943, 1682  # the embedding model makes its tables before it sees data
BUDGET = {"loss": "bce", "negatives": 4, "epochs": 8, "lr": 0.02, "regularization": 6.4e-05}  # of chapter 17


class Trained:
    """A network and the options of its training: ``fit`` and ``score`` like any recommender."""

    def __init__(self, network: Recommender, **options: object) -> None:
        self.network, self.options = network, options

    def fit(self, interactions: Interactions) -> Self:
        """Train with the options."""
        self.network.fit(interactions, **self.options)
        return self

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Scores of all items, ``(len(users), n_items)``."""
        return self.network.score(users)

    def predict(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Ratings of pairs, ``(n,)``, of a network that has them."""
        return self.network.predict(users, items)


# A model by its seed and settings; without settings it is what its chapter chose.
TOP_N: dict[str, Callable[..., Recommender]] = {
    "random": lambda seed: Random(seed=seed),
    "popularity": lambda seed: Popularity(),
    "recent popularity": lambda seed, **s: RecentPopularity(**s),
    "bias model": lambda seed, **s: BiasModel(**s),
    "association rules": lambda seed, **s: RuleRecommender(**s),
    "user kNN": lambda seed, **s: UserKNN(**{"k": 80} | s),
    "item kNN": lambda seed, **s: ItemKNN(**{"k": 300} | s),
    "content-based": lambda seed, **s: content_based(**s),
    "EASE": lambda seed, **s: EASE(**s),
    "hybrid": lambda seed, **s: Hybrid(content_based(), EASE(), **s),
    "implicit ALS": lambda seed, **s: ImplicitALS(seed=seed, **s),
    "MF (embeddings)": lambda seed, **s: Trained(MatrixFactorization(USERS, ITEMS, seed=seed), loss="bce", **s),
    "MF (BPR)": lambda seed, **s: Trained(MatrixFactorization(USERS, ITEMS, 64, seed=seed), loss="bpr", **s),
    "GCN": lambda seed, **s: Trained(GCNRecommender(USERS, ITEMS, seed=seed), **s),
    "LightGCN": lambda seed, **s: Trained(LightGCN(USERS, ITEMS, seed=seed), **s),
    "Mult-DAE": lambda seed, **s: MultDAE(seed=seed, **s),
    "Mult-VAE": lambda seed, **s: MultVAE(seed=seed, **s),
    "NeuMF": lambda seed, **s: Trained(NeuMF(USERS, ITEMS, 16, seed=seed), **BUDGET | s),
    "two-tower": lambda seed, **s: TwoTower(USERS, ITEMS, **descriptions(), seed=seed, **s),
}
RATINGS: dict[str, Callable[..., RatingModel]] = {
    "bias model": lambda seed, **s: BiasModel(**s),
    "user kNN": lambda seed, **s: UserKNN(**{"similarity": "pearson", "shrinkage": 25} | s),
    "item kNN": lambda seed, **s: ItemKNN(**{"similarity": "adjusted_cosine", "shrinkage": 25} | s),
    "ALS": lambda seed, **s: ALS(seed=seed, **s),
    "BayesianMF": lambda seed, **s: BayesianMF(seed=seed, **s),
    "MF (embeddings)": lambda seed, **s: Trained(MatrixFactorization(USERS, ITEMS, seed=seed), **s),
    "AutoRec": lambda seed, **s: AutoRec(**{"epochs": 80} | s, seed=seed),
    "SVD++-like": lambda seed, **s: ContextFM(seed=seed, **s),
    "FM with context": lambda seed, **s: ContextFM(**descriptions(), seed=seed, **s),
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
    for name, models, run, key in (("ch20_league", TOP_N, top_n, "seed"), ("ch20_ratings", RATINGS, ratings, "fold")):
        chosen = [model for model in models if not wanted or model in wanted]
        if chosen:
            table, users = run(chosen)
            write(name, table, keys=["model", key], keep_others=bool(wanted))
            write(f"{name}_users", users, keys=["model", key], keep_others=bool(wanted), digits=4)


if __name__ == "__main__":
    main(sys.argv[1:])
