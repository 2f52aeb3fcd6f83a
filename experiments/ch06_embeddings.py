"""What embeddings of MovieLens do, over several seeds. Chapter 6 shows ``results/ch06_embeddings.csv``.

One row a number: ``experiment``, ``setting``, ``seed``, ``measure``, ``value``. All models but those that an
experiment varies have the default settings of ``MatrixFactorization``.

- ``dimension``: test RMSE by number of factors, on folds 0, 1, 2 of ``k_fold(seed=0)``.
- ``start``: RMSE after each epoch without any penalty, by start of the weights; a tenth of fold 0's training part is
  the validation part. The seeds are those of the model and its batches.
- ``hold``: test RMSE of folds 0, 1, 2 by what keeps the model from memorising. All four train on nine tenths of the
  training part, for as many epochs, with the same falling step size. The last tenth is for early stopping, and that of
  fold 0 for the strengths (``hold grid``).
- ``network``: a network on the two vectors side by side against their dot product, on the same parts. Both have one
  grid of penalties (``network grid``, fold 0), and keep the best of their epochs.
- ``neighbors``: two models of fold 0 that differ in their seed alone: the share of films (20 ratings or more) with the
  same nearest neighbour, and the correlation of all their scores. Also with more epochs, and of ALS.
- ``halves``: the same share between two halves of the people (films with 20 ratings in both), for three random halves,
  also by the users that films share; and how many genres a film and its nearest have in common (Jaccard).
- ``clicks``: what is learned when every target is 1, on ``random_split`` seeds 0, 1, 2.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import combinations

import pandas as pd
import torch
from _tables import SEEDS, movielens, write
from torch import nn
from torch.nn.functional import mse_loss, normalize, softplus

from course_utils.data import Interactions, MovieLens, splits
from course_utils.evaluation import measure_lists, measure_ratings
from course_utils.learning import loop
from course_utils.models.als import ALS
from course_utils.models.embedding_mf import MatrixFactorization

Row = tuple[str, str | int, int | str, str, float]
FACTORS = (1, 2, 4, 8, 16, 32, 64)
ENOUGH = 20  # training ratings of a film whose neighbours are compared
STARTS = {"N(0, 1)": {"biases": False, "std": 1.0}, "small": {"biases": False}, "small, mean, biases": {"biases": True}}


def model(data: Interactions, *, seed: int, **settings: object) -> MatrixFactorization:
    """A fresh model with tables as large as the data need."""
    return MatrixFactorization(data.n_users, data.n_items, seed=seed, **settings)


def dimension(data: MovieLens) -> Iterator[Row]:
    """How many factors does it take?"""
    for fold, parts in zip(SEEDS, splits.k_fold(data.ratings, seed=0), strict=False):
        past, test = map(data.interactions, parts)
        for factors in FACTORS:
            fitted = model(past, seed=fold, factors=factors).fit(past)
            yield "dimension", factors, fold, "rmse", measure_ratings(fitted, test)["rmse"]


def start(data: MovieLens) -> Iterator[Row]:
    """How training goes on from three starts, with 64 factors, Adam, and nothing that holds it back."""
    inner = next(iter(splits.k_fold(data.ratings, seed=0)))[0]
    past, held_out = map(data.interactions, next(iter(splits.k_fold(inner, n_splits=10, seed=0))))
    for name, settings in STARTS.items():
        for seed in SEEDS:
            mean = {"mean": float(past.ratings.mean())} if settings["biases"] else {}
            module = model(past, seed=seed, factors=64, **settings, **mean)
            history = loop.fit(
                module,
                shuffled(past, seed),
                lambda m, batch: mse_loss(m(*batch[:2]), batch[2]),
                epochs=12,
                validate=lambda m: measure_ratings(m, held_out)["rmse"],
            )
            for epoch, values in history.iterrows():
                yield "start", name, seed, f"train mse {epoch}", values["loss"]
                yield "start", name, seed, f"validation rmse {epoch}", values["validation"]


def nine_tenths(data: MovieLens, fold: int) -> tuple[Interactions, Interactions, Interactions]:
    """Training, validation and test part of a fold."""
    inner, outer = list(splits.k_fold(data.ratings, seed=0))[fold]
    return tuple(map(data.interactions, (*next(iter(splits.k_fold(inner, n_splits=10, seed=0))), outer)))


BRAKES = {  # with their strengths
    "nothing": (0.0,),
    "early stopping": (0.0,),
    "weight decay": (3e-5, 1e-4, 3e-4, 1e-3),
    "penalty on the batch": (0.06, 0.11, 0.2),
}


def braked(parts: tuple[Interactions, ...], fold: int, name: str, strength: float) -> MatrixFactorization:
    """32 factors, 15 epochs of Adam whose step size falls from 0.01 to 0; both brakes pull at the factors alone."""
    module = model(parts[0], seed=fold, mean=float(parts[0].ratings.mean()))
    tables = [module.user_factors.weight, module.item_factors.weight]
    others = [module.user_biases.weight, module.item_biases.weight, module.mean]
    decay = strength if name == "weight decay" else 0.0
    optimizer = torch.optim.Adam([{"params": tables, "weight_decay": decay}, {"params": others}], lr=0.01)
    weight = strength if name == "penalty on the batch" else 0.0
    stop = {"validate": lambda m: measure_ratings(m, parts[1])["rmse"]} if name == "early stopping" else {}
    loss = lambda m, batch: mse_loss(m(*batch[:2]), batch[2]) + weight * m.penalty(*batch[:2])  # noqa: E731
    loop.fit(module, shuffled(parts[0], fold), loss, epochs=15, optimizer=optimizer, decay=True, **stop)
    return module


def hold(data: MovieLens) -> Iterator[Row]:
    """What keeps 32 factors from memorising: nothing, early stopping, weight decay, a penalty on the batch."""
    parts = [nine_tenths(data, fold) for fold in SEEDS]
    for name, strengths in BRAKES.items():
        on_validation = {}
        for strength in strengths:
            on_validation[strength] = measure_ratings(braked(parts[0], 0, name, strength), parts[0][1])["rmse"]
            yield "hold grid", name, 0, f"validation rmse {strength:g}", on_validation[strength]
        best = min(on_validation, key=on_validation.get)
        for fold in SEEDS:
            fitted = braked(parts[fold], fold, name, best)
            yield "hold", name, fold, "rmse", measure_ratings(fitted, parts[fold][2])["rmse"]


class Network(MatrixFactorization):
    """A network on the two vectors side by side in place of their dot product; mean and biases as before."""

    def __init__(self, n_users: int, n_items: int, factors: int = 32, **options: object) -> None:
        super().__init__(n_users, n_items, factors, std=0.1, **options)
        torch.manual_seed(self.seed)
        self.hidden = nn.Sequential(nn.Linear(2 * factors, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.last = nn.Linear(32, 1, bias=False)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Scores of pairs of codes, ``(B,)``."""
        both = torch.cat([self.user_factors(users), self.item_factors(items)], dim=1)
        biases = self.mean + self.user_biases(users) + self.item_biases(items)
        return (self.last(self.hidden(both)) + biases)[:, 0]


def network(data: MovieLens) -> Iterator[Row]:
    """Does a network do better than the dot product?"""
    parts = [nine_tenths(data, fold) for fold in SEEDS]

    def fitted(kind: type, fold: int, weight: float) -> MatrixFactorization:
        past, held_out, _ = parts[fold]
        check = {"validate": lambda m: measure_ratings(m, held_out)["rmse"]}
        return kind(past.n_users, past.n_items, seed=fold).fit(past, regularization=weight, **check)

    for name, kind in {"dot product": MatrixFactorization, "network": Network}.items():
        on_validation = {}
        for weight in (0.03, 0.11, 0.3, 1.0, 3.0, 10.0):
            on_validation[weight] = measure_ratings(fitted(kind, 0, weight), parts[0][1])["rmse"]
            yield "network grid", name, 0, f"validation rmse {weight:g}", on_validation[weight]
        best = min(on_validation, key=on_validation.get)
        for fold in SEEDS:
            yield "network", name, fold, "rmse", measure_ratings(fitted(kind, fold, best), parts[fold][2])["rmse"]


def neighbors(data: MovieLens) -> Iterator[Row]:
    """Two seeds, one data set: which films are close?"""
    past = data.interactions(next(iter(splits.k_fold(data.ratings, seed=0)))[0])
    kept = torch.bincount(past.items, minlength=past.n_items) >= ENOUGH
    makers = {str(f): lambda seed, f=f: model(past, seed=seed, factors=f).fit(past) for f in (2, 32)}
    makers["32, 40 epochs"] = lambda seed: model(past, seed=seed).fit(past, epochs=40)
    makers["ALS"] = lambda seed: ALS(seed=seed).fit(past)
    for name, make in makers.items():
        found = []
        for seed in SEEDS:
            fitted = make(seed)
            vectors, taste = ways(fitted, kept)
            found.append((vectors, taste, fitted.score(torch.arange(past.n_users))[:, kept]))
        for (i, a), (j, b) in combinations(enumerate(found), 2):
            pair = f"{i}-{j}"
            yield "neighbors", name, pair, "same by factors", (a[0] == b[0]).double().mean().item()
            yield "neighbors", name, pair, "same by taste scores", (a[1] == b[1]).double().mean().item()
            both = torch.stack([a[2].flatten(), b[2].flatten()])
            yield "neighbors", name, pair, "correlation of scores", torch.corrcoef(both)[0, 1].item()


def ways(fitted: MatrixFactorization | ALS, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nearest other film by the films' vectors, and by taste scores, which any gauge leaves as they are."""
    p, q = fitted.user_factors, fitted.item_factors
    p, q = (x.weight.detach() if isinstance(x, nn.Embedding) else x for x in (p, q))
    return nearest(q[kept]), nearest(q[kept] @ p.T)


def halves(data: MovieLens) -> Iterator[Row]:
    """Other people, the same films: which films are close?"""
    past = next(iter(splits.k_fold(data.ratings, seed=0)))[0]
    genres = [set(x.split("|")) for x in data.items.genres]
    for seed in SEEDS:
        first = past.user_id.isin(past.user_id.drop_duplicates().sample(frac=0.5, random_state=seed))
        parts = [data.interactions(past[chosen]) for chosen in (first, ~first)]
        counts = torch.stack([torch.bincount(part.items, minlength=part.n_items) for part in parts])
        kept = counts.amin(dim=0) >= ENOUGH
        codes = kept.nonzero().flatten().tolist()
        alike = [[len(genres[i] & genres[j]) / max(1, len(genres[i] | genres[j])) for j in codes] for i in codes]
        alike = torch.tensor(alike, dtype=torch.float64)
        found = {
            name: []
            for name in ("embeddings, vectors", "embeddings, taste scores", "ALS, vectors", "ALS, taste scores")
        }
        for part in parts:
            by_model = ways(model(part, seed=seed).fit(part), kept) + ways(ALS(seed=seed).fit(part), kept)
            for name, rows in zip(found, by_model, strict=True):
                found[name].append(rows)
        found["shared users"] = [nearest(part.mask()[:, kept].T.double()) for part in parts]
        for name, (a, b) in found.items():
            yield "halves", name, seed, "same nearest", (a == b).double().mean().item()
            yield "halves", name, seed, "genres in common", alike[range(len(codes)), a].mean().item()
        other = 1 - torch.eye(len(codes), dtype=torch.float64)
        yield "halves", "any other film", seed, "genres in common", (alike * other).sum().item() / other.sum().item()


def nearest(rows: torch.Tensor) -> torch.Tensor:
    """For each row the number of the other row with the largest cosine."""
    unit = normalize(rows, dim=1)
    return (unit @ unit.T).fill_diagonal_(-2).argmax(dim=1)


def clicks(data: MovieLens) -> Iterator[Row]:
    """Every interaction has target 1, and there is nothing else."""
    losses = {
        "all ones, MSE": lambda m, batch: (m(*batch[:2]) - 1).square().mean(),
        "all ones, BCE": lambda m, batch: softplus(-m(*batch[:2])).mean(),
    }
    for seed in SEEDS:
        past, test = map(data.interactions, splits.random_split(data.ratings, seed=seed))
        for name, loss in losses.items():
            module = model(past, seed=seed)
            history = loop.fit(module, shuffled(past, seed), loss, epochs=15)
            yield "clicks", name, seed, "last train loss", history["loss"].iloc[-1]
            yield "clicks", name, seed, "ndcg@10", measure_lists(module, past, test)["ndcg@10"]


def shuffled(data: Interactions, seed: int) -> loop.Batches:
    """Batches of 1,024 users, items and ratings."""
    generator = torch.Generator().manual_seed(seed)
    return loop.batches(data.users, data.items, data.ratings, batch_size=1024, generator=generator)


PARTS = {part.__name__: part for part in (dimension, start, hold, network, neighbors, halves, clicks)}


def main(wanted: list[str]) -> None:
    """Run the named experiments, all of them when none is named: about nine minutes."""
    data, rows = movielens(), []
    for name in wanted or PARTS:
        for row in PARTS[name](data):
            rows.append(row)
            print(*row, flush=True)
    columns = ["experiment", "setting", "seed", "measure", "value"]
    write("ch06_embeddings", pd.DataFrame(rows, columns=columns), keys=columns[:-1], keep_others=bool(wanted))


if __name__ == "__main__":
    main(sys.argv[1:])
