"""What others publish, measured here: their splits, their libraries, our models (the evidence page, chapter 20).

    python experiments/ch20_evidence.py                 all protocols
    python experiments/ch20_evidence.py u1 implicit     these only; the other rows stay
    python experiments/ch20_evidence.py u1/ALS          this model of that protocol only

``recommenders``: the library Recommenders' table as it stood until 2026, its own split of MovieLens-100K (75/25 within
each user, seed 42) and its own MAP, with its SAR rebuilt line by line. ``recommenders 2026``: the split and the MAP
that its tests expect today. ``d2l``: nine tenths of the ratings, drawn at random, as in the book Dive into Deep
Learning, and ``d2l last``: the last film of each user among all unseen ones, by the rule of that book. ``u1``:
GroupLens' fold u1. ``five folds``: the models of the library Surprise on the folds of ``results/ch20_ratings.csv``.
``implicit``: the library ``implicit`` on the splits of ``results/ch20_league.csv``. One row a protocol, model and run;
models without random numbers run once a split.
The published numbers themselves stand in ``experiments/ch20_published.py``. The libraries come with the extra ``test``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Self

import numpy as np
import pandas as pd
import torch
from _tables import RESULTS, SEEDS, movielens, write
from ch20_league import RATINGS, TOP_N

from course_utils.data import Interactions, MovieLens, splits
from course_utils.evaluation import measure_lists, measure_ratings, metrics, recommend
from course_utils.models.als import ImplicitALS
from course_utils.models.base import Recommender
from course_utils.models.neighbors import EASE
from course_utils.models.sequential import Caser

NOTHING_RANDOM = {"popularity", "bias model", "user kNN", "item kNN", "EASE", "EASE, decay"}  # these run once a split
IN_ORDER = {"EASE, decay": lambda run: EASE(decay=0.9), "Caser": lambda run: Caser(dropout=0.3, seed=run)}  # chapter 18
HALF_LIFE = 30 * 24 * 3600  # seconds
KEYS = ["protocol", "model", "run"]
Row = tuple[str, int, Callable[[], dict[str, float]]]  # model, run, and what measures it


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
    """The measures of Recommenders' tables: the MAP of the old one divides by all relevant items."""
    found = measure_lists(model, train, test)[["ndcg@10", "map@10", "precision@10", "recall@10"]].to_dict()
    users = test.users.unique()
    lists, _ = recommend(model, users, 10, exclude=train)
    precision = metrics.average_precision_at_k(lists, test.mask()[users], 10, normalizer="relevant")
    return {**found, "map/relevant@10": precision.nanmean().item()}


def numbered(ratings: pd.DataFrame, ratio: float = 0.75, seed: int = 42) -> splits.Split:
    """The split of Recommenders' code today: random numbers order the rows of each user, the first are train."""
    rows = ratings.assign(draw=np.random.RandomState(seed).rand(len(ratings))).sort_values(["user_id", "draw"])
    by_user = rows.groupby("user_id")["draw"]
    first = rows.index[by_user.cumcount() < (ratio * by_user.transform("size")).round()]
    return ratings.loc[first], ratings.drop(first)


def last_films(ratings: pd.DataFrame) -> splits.Split:
    """The last rating of each user for the test; of several in its second the first in the file, as in d2l."""
    last = ratings.groupby("user_id")["timestamp"].idxmax()
    return ratings.drop(last), ratings.loc[last]


def place_of_last(model: Recommender, train: Interactions, test: Interactions) -> dict[str, float]:
    """Share of users whose last film is among the first 50 unseen ones; the mean share of unseen films behind it."""
    scores = model.score(test.users).masked_fill(train.mask()[test.users], -torch.inf)
    own = scores.gather(1, test.items[:, None])
    ahead = (scores > own).sum(dim=1) + ((scores == own).sum(dim=1) - 1) / 2  # ties count half
    unseen = (~train.mask()[test.users]).sum(dim=1) - 1
    return {"hit_rate@50": (ahead < 50).double().mean().item(), "auc": (1 - ahead / unseen).mean().item()}


def runs(name: str) -> tuple[int, ...]:
    """Once for a model without random numbers, three seeds for the others."""
    return (0,) if name in NOTHING_RANDOM else SEEDS


def recommenders(data: MovieLens) -> Iterator[Row]:
    """Recommenders' split: rankers, rating models made to rank, and SAR rebuilt."""
    parts = tuple(map(data.interactions, stratified(data.ratings)))
    yield "SAR, rebuilt", 0, lambda: list_measures(SAR().fit(parts[0]), *parts)
    for name in ["popularity", "item kNN", "EASE", "implicit ALS", "MF (embeddings)", "MF (BPR)", "LightGCN"]:
        for run in runs(name):
            yield name, run, lambda name=name, run=run: list_measures(TOP_N[name](run).fit(parts[0]), *parts)
    for name in ("ALS", "MF (embeddings)"):
        for run in SEEDS:
            yield (
                f"{name}, predicted stars",
                run,
                lambda name=name, run=run: both(RATINGS[name](run).fit(parts[0]), *parts),
            )


def both(model: Recommender, train: Interactions, test: Interactions) -> dict[str, float]:
    """Lists and errors of a rating model."""
    return {**list_measures(model, train, test), **measure_ratings(model, test)}


def recommenders_2026(data: MovieLens) -> Iterator[Row]:
    """What their code does today."""
    parts = tuple(map(data.interactions, numbered(data.ratings)))
    yield "SAR, rebuilt", 0, lambda: list_measures(SAR().fit(parts[0]), *parts)
    for name in ["popularity", "item kNN", "EASE", "implicit ALS"]:
        for run in runs(name):
            yield name, run, lambda name=name, run=run: list_measures(TOP_N[name](run).fit(parts[0]), *parts)


def d2l(data: MovieLens) -> Iterator[Row]:
    """A tenth of the ratings at random for the test, three draws."""
    for run in SEEDS:
        keep = np.random.RandomState(run).uniform(size=len(data.ratings)) < 0.9
        train, test = map(data.interactions, (data.ratings[keep], data.ratings[~keep]))
        for name in ["bias model", "item kNN", "ALS"]:
            yield (
                name,
                run,
                lambda name=name, run=run, train=train, test=test: measure_ratings(RATINGS[name](run).fit(train), test),
            )


def d2l_last(data: MovieLens) -> Iterator[Row]:
    """The last film of each user, one place among all that she has not seen."""
    train, test = map(data.interactions, last_films(data.ratings))
    models = {name: TOP_N[name] for name in ("popularity", "item kNN", "EASE", "implicit ALS")} | IN_ORDER
    for name, make in models.items():
        for run in runs(name):
            yield name, run, lambda make=make, run=run: place_of_last(make(run).fit(train), train, test)


def u1(data: MovieLens) -> Iterator[Row]:
    """GroupLens' fold u1: the book's rating models but for SVD++-like, which FM with context contains; Surprise's."""
    train, test = map(data.interactions, splits.movielens_fold(data.ratings, "u1"))
    for run in SEEDS:
        for name, make in RATINGS.items():
            if name != "SVD++-like" and (run == 0 or name not in NOTHING_RANDOM):
                yield name, run, lambda make=make, run=run: measure_ratings(make(run).fit(train), test)
        for name, model in surprise_models(run).items():
            if run == 0 or "SVD" in name:
                yield name, run, lambda model=model: measure_ratings(model.fit(train), test)


def five_folds(data: MovieLens) -> Iterator[Row]:
    """Surprise's models on the book's five folds."""
    for fold, parts in enumerate(splits.k_fold(data.ratings, seed=0)):
        train, test = map(data.interactions, parts)
        for name, model in surprise_models(fold).items():
            yield name, fold, lambda model=model, train=train, test=test: measure_ratings(model.fit(train), test)


def implicit(data: MovieLens) -> Iterator[Row]:
    """The library ``implicit`` on the splits of the league table."""
    for seed in SEEDS:
        parts = tuple(map(data.interactions, splits.random_split(data.ratings, seed=seed)))
        for name, defaults in (("implicit, our settings", False), ("implicit, its defaults", True)):
            model = ImplicitLibrary(seed, defaults=defaults)
            yield name, seed, lambda model=model, parts=parts: list_measures(model.fit(parts[0]), *parts)


PROTOCOLS: dict[str, Callable[[MovieLens], Iterator[Row]]] = {
    "implicit": implicit,
    "five folds": five_folds,
    "recommenders": recommenders,
    "u1": u1,
    "recommenders 2026": recommenders_2026,
    "d2l": d2l,
    "d2l last": d2l_last,
}
MEASURES = ["rmse", "mae", "ndcg@10", "map@10", "map/relevant@10", "precision@10", "recall@10", "hit_rate@50", "auc"]


def main(wanted: list[str]) -> None:
    """Run what is wanted, everything when nothing is named; the other rows stay."""
    if unknown := {word.partition("/")[0] for word in wanted} - set(PROTOCOLS):
        raise SystemExit(f"unknown protocol(s) {sorted(unknown)}; there are {sorted(PROTOCOLS)}")
    path = RESULTS / "ch20_evidence.csv"
    old = pd.read_csv(path).set_index(KEYS) if wanted and path.exists() else pd.DataFrame()
    data, rows = movielens(), []
    for protocol, run_of in PROTOCOLS.items():
        for model, run, measure in run_of(data):
            if wanted and not {protocol, f"{protocol}/{model}"} & set(wanted):
                kept = old.loc[[(protocol, model, run)]] if (protocol, model, run) in old.index else old[:0]
                rows.extend(kept.reset_index().to_dict("records"))
                continue
            rows.append({"protocol": protocol, "model": model, "run": run, **measure()})
            print("  ".join(f"{v:.4f}" if isinstance(v, float) else str(v) for v in rows[-1].values()), flush=True)
    write("ch20_evidence", pd.DataFrame(rows).reindex(columns=[*KEYS, *MEASURES]), keys=KEYS)


if __name__ == "__main__":
    main(sys.argv[1:])
