"""What others publish, measured here: their splits, their libraries, our models (the evidence page, chapter 17).

    python experiments/ch17_evidence.py                 all protocols
    python experiments/ch17_evidence.py u1 implicit     these only; the other rows stay

``recommenders``: the benchmark table of the library Recommenders, its own split of MovieLens-100K (75/25 within each
user, seed 42) and its own MAP, with its SAR rebuilt line by line. ``u1``: GroupLens' fold u1. ``five folds``: the
models of the library Surprise on the folds of ``results/ch17_ratings.csv``. ``implicit``: the library
``implicit`` on the
splits of ``results/ch17_league.csv``. One row a protocol, model and run; models without random numbers run
once a split.
The published numbers themselves stand in ``experiments/ch17_published.py``. The libraries come with the extra ``test``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Self

import numpy as np
import pandas as pd
import torch
from _tables import SEEDS, movielens, write
from ch17_league import RATINGS, TOP_N

from course_utils.data import Interactions, MovieLens, splits
from course_utils.evaluation import measure_lists, measure_ratings, metrics, recommend
from course_utils.models.als import ImplicitALS
from course_utils.models.base import Recommender

NOTHING_RANDOM = {"popularity", "bias model", "user kNN", "item kNN", "EASE"}  # these run once a split
HALF_LIFE = 30 * 24 * 3600  # seconds


class SAR:
    """The Simple Algorithm for Recommendation of the library Recommenders, with the settings of its benchmark.

    Jaccard similarity of items that have a user in common, and the stars of a user weighed down by half every
    30 days before the latest rating.
    """

    def fit(self, interactions: Interactions) -> Self:
        """Count common users, weigh the stars by their age."""
        users, items = interactions.users, interactions.items
        seen = torch.zeros(interactions.n_users, interactions.n_items)
        seen[users, items] = 1.0
        common = seen.T @ seen
        count = common.diagonal()
        self.similarity = common / (count[:, None] + count - common).clamp(min=1)
        age = (interactions.timestamps.max() - interactions.timestamps).to(seen)
        self.affinity = torch.zeros_like(seen)
        self.affinity[users, items] = interactions.ratings * 0.5 ** (age / HALF_LIFE)
        return self

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Weighed stars times similarity, ``(len(users), n_items)``."""
        return self.affinity[users] @ self.similarity


class SurpriseModel:
    """An algorithm of the library Surprise behind the book's ``fit`` and ``predict``."""

    def __init__(self, algorithm: object) -> None:
        self.algorithm = algorithm

    def fit(self, interactions: Interactions) -> Self:
        """Hand the ratings over by their codes."""
        from surprise import Dataset, Reader

        columns = {"user": interactions.users, "item": interactions.items, "rating": interactions.ratings}
        data = Dataset.load_from_df(pd.DataFrame({k: v.numpy() for k, v in columns.items()}), Reader())
        self.algorithm.fit(data.build_full_trainset())
        return self

    def predict(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Predicted stars, ``(len(users),)``."""
        pairs = zip(users.tolist(), items.tolist(), strict=True)
        return torch.tensor([self.algorithm.predict(user, item).est for user, item in pairs])


class ImplicitLibrary:
    """ALS of the library ``implicit``: its own defaults, or the defaults of the book's model."""

    def __init__(self, seed: int, *, defaults: bool) -> None:
        self.seed, self.defaults = seed, defaults

    def fit(self, interactions: Interactions) -> Self:
        """The library takes the confidence of an interaction where the book takes what is above 1."""
        from implicit.cpu.als import AlternatingLeastSquares

        ours, matrix, settings = ImplicitALS(), interactions.csr(), {}
        if not self.defaults:
            matrix.data = 1 + ours.alpha * matrix.data
            settings = {"factors": ours.factors, "regularization": ours.regularization, "alpha": 1.0}
        self.model = AlternatingLeastSquares(random_state=self.seed, num_threads=1, **settings)
        self.model.fit(matrix.astype(np.float32), show_progress=False)
        return self

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Dot products, ``(len(users), n_items)``."""
        return torch.from_numpy(self.model.user_factors[users.numpy()] @ self.model.item_factors.T)


def surprise_models(seed: int) -> dict[str, SurpriseModel]:
    """Algorithms of Surprise's table that have a relative in this book, with Surprise's defaults; SVD++ is too slow."""
    from surprise import SVD, BaselineOnly, KNNBaseline, KNNWithMeans

    quiet = {"verbose": False}
    by_item = {"name": "pearson_baseline", "user_based": False}
    made = {
        "Baseline": BaselineOnly(**quiet),
        "Centered k-NN": KNNWithMeans(**quiet),
        "k-NN Baseline": KNNBaseline(**quiet),
        "k-NN Baseline, items": KNNBaseline(sim_options=by_item, **quiet),
        "SVD": SVD(random_state=seed),
    }
    return {f"Surprise {name}": SurpriseModel(algorithm) for name, algorithm in made.items()}


def stratified(ratings: pd.DataFrame, ratio: float = 0.75, seed: int = 42) -> splits.Split:
    """The stratified split behind Recommenders' SAR row: each user's rows shuffled, three quarters of them train."""
    parts = ([], [])
    for _, rows in ratings.groupby("user_id"):
        shuffled = rows.sample(frac=1, random_state=seed)  # pandas' own shuffle, as in the library
        first = round(ratio * len(rows))
        parts[0].append(shuffled.iloc[:first])
        parts[1].append(shuffled.iloc[first:])
    return pd.concat(parts[0]), pd.concat(parts[1])


def list_measures(model: Recommender, train: Interactions, test: Interactions) -> dict[str, float]:
    """The measures of Recommenders' table: its MAP divides by all relevant items."""
    found = measure_lists(model, train, test)[["ndcg@10", "precision@10", "recall@10"]].to_dict()
    users = test.users.unique()
    lists, _ = recommend(model, users, 10, exclude=train)
    precision = metrics.average_precision_at_k(lists, test.mask()[users], 10, normalizer="relevant")
    return {**found, "map/relevant@10": precision.nanmean().item()}


def recommenders(data: MovieLens) -> Iterator[dict]:
    """Recommenders' split: rankers, rating models made to rank, and SAR rebuilt."""
    train, test = map(data.interactions, stratified(data.ratings))
    yield {"model": "SAR, rebuilt", "run": 0, **list_measures(SAR().fit(train), train, test)}
    rankers = ["popularity", "item kNN", "EASE", "implicit ALS", "MF (embeddings)", "MF (BPR)", "LightGCN"]
    for name in rankers:
        for run in (0,) if name in NOTHING_RANDOM else SEEDS:
            model = TOP_N[name](run).fit(train)
            yield {"model": name, "run": run, **list_measures(model, train, test)}
    for name in ("ALS", "MF (embeddings)"):
        for run in SEEDS:
            model = RATINGS[name](run).fit(train)
            both = {**list_measures(model, train, test), **measure_ratings(model, test)}
            yield {"model": f"{name}, predicted stars", "run": run, **both}


def u1(data: MovieLens) -> Iterator[dict]:
    """GroupLens' fold u1: the book's rating models, and Surprise's."""
    train, test = map(data.interactions, splits.movielens_fold(data.ratings, "u1"))
    for run in SEEDS:
        chosen = {n: make(run) for n, make in RATINGS.items() if run == 0 or n not in NOTHING_RANDOM}
        theirs = surprise_models(run)
        chosen |= {name: model for name, model in theirs.items() if run == 0 or "SVD" in name}
        for name, model in chosen.items():
            yield {"model": name, "run": run, **measure_ratings(model.fit(train), test)}


def five_folds(data: MovieLens) -> Iterator[dict]:
    """Surprise's models on the book's five folds."""
    for fold, parts in enumerate(splits.k_fold(data.ratings, seed=0)):
        train, test = map(data.interactions, parts)
        for name, model in surprise_models(fold).items():
            yield {"model": name, "run": fold, **measure_ratings(model.fit(train), test)}


def implicit(data: MovieLens) -> Iterator[dict]:
    """The library ``implicit`` on the splits of the league table."""
    for seed in SEEDS:
        train, test = map(data.interactions, splits.random_split(data.ratings, seed=seed))
        for name, defaults in (("implicit, our settings", False), ("implicit, its defaults", True)):
            model = ImplicitLibrary(seed, defaults=defaults).fit(train)
            yield {"model": name, "run": seed, **list_measures(model, train, test)}


PROTOCOLS: dict[str, Callable[[MovieLens], Iterator[dict]]] = {
    "recommenders": recommenders,
    "u1": u1,
    "five folds": five_folds,
    "implicit": implicit,
}
MEASURES = ["rmse", "mae", "ndcg@10", "map/relevant@10", "precision@10", "recall@10"]


def main(wanted: list[str]) -> None:
    """Run the wanted protocols, all of them when none is named."""
    if unknown := set(wanted) - set(PROTOCOLS):
        raise SystemExit(f"unknown protocol(s) {sorted(unknown)}; there are {sorted(PROTOCOLS)}")
    data, rows = movielens(), []
    for protocol, run in PROTOCOLS.items():
        if wanted and protocol not in wanted:
            continue
        for row in run(data):
            rows.append({"protocol": protocol, **row})
            print("  ".join(f"{v:.4f}" if isinstance(v, float) else str(v) for v in rows[-1].values()), flush=True)
    table = pd.DataFrame(rows).reindex(columns=["protocol", "model", "run", *MEASURES])
    write("ch17_evidence", table, keys=["protocol", "model", "run"], keep_others=bool(wanted))


if __name__ == "__main__":
    main(sys.argv[1:])
