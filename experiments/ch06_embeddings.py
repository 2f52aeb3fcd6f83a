"""What embeddings of MovieLens do, over several seeds. Chapter 6 shows ``results/ch06_embeddings.csv``.

One row a number: ``experiment``, ``setting``, ``seed``, ``measure``, ``value``. All models but those that an
experiment varies have the default settings of ``MatrixFactorization``.

- ``dimension``: test RMSE by number of factors, odd ones included, on folds 0, 1, 2 of ``k_fold(seed=0)``.
- ``start``: RMSE after each epoch without any penalty, by start of the weights; a tenth of fold 0's training part is
  the validation part. The seeds are those of the model and its batches.
- ``hold``: test RMSE of folds 0, 1, 2 by what keeps the model from memorising. All four train on nine tenths of the
  training part; the last tenth is for early stopping.
- ``neighbors``: two models of fold 0 that differ in their seed alone: the share of films (20 ratings or more) with the
  same nearest neighbour, and the correlation of all their scores.
- ``clicks``: what is learned when every target is 1, on ``random_split`` seeds 0, 1, 2.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import combinations

import pandas as pd
import torch
from _tables import SEEDS, movielens, write
from torch.nn.functional import mse_loss, normalize, softplus

from course_utils.data import Interactions, MovieLens, splits
from course_utils.evaluation import measure_lists, measure_ratings
from course_utils.learning import loop
from course_utils.models.embedding_mf import MatrixFactorization

Row = tuple[str, str | int, int | str, str, float]
FACTORS = (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 64)
ENOUGH = 20  # training ratings of a film whose neighbours are compared
STARTS = {"N(0, 1)": {"biases": False, "std": 1.0}, "small": {"biases": False}, "small, mean, biases": {"biases": True}}


def model(data: Interactions, *, seed: int, **settings: object) -> MatrixFactorization:
    """A fresh model with tables as large as the data need."""
    return MatrixFactorization(data.n_users, data.n_items, seed=seed, **settings)


def dimension(data: MovieLens) -> Iterator[Row]:
    """Does the number of factors have to be even?"""
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


def hold(data: MovieLens) -> Iterator[Row]:
    """What keeps 32 factors from memorising: nothing, early stopping, weight decay, a penalty on the batch."""
    for fold, (inner, outer) in zip(SEEDS, splits.k_fold(data.ratings, seed=0), strict=False):
        parts = next(iter(splits.k_fold(inner, n_splits=10, seed=0)))
        past, held_out, test = map(data.interactions, (*parts, outer))
        stop = {"validate": lambda m, part=held_out: measure_ratings(m, part)["rmse"], "patience": 3}
        for name, settings in {
            "nothing": {"epochs": 15},
            "early stopping": {"epochs": 40, **stop},
            "weight decay": {"epochs": 40, "lr": 0.005, "weight_decay": 3e-4, **stop},
            "penalty on the batch": None,
        }.items():
            module = model(past, seed=fold, mean=float(past.ratings.mean()))
            if settings is None:
                module.fit(past)
            else:
                loss = lambda m, batch: mse_loss(m(*batch[:2]), batch[2])  # noqa: E731
                loop.fit(module, shuffled(past, fold), loss, **settings)
            yield "hold", name, fold, "rmse", measure_ratings(module, test)["rmse"]


def neighbors(data: MovieLens) -> Iterator[Row]:
    """Two seeds, one data set: which films are close?"""
    past = data.interactions(next(iter(splits.k_fold(data.ratings, seed=0)))[0])
    kept = torch.bincount(past.items, minlength=past.n_items) >= ENOUGH
    for factors in (2, 3, 8, 32):
        found = []
        for seed in SEEDS:
            fitted = model(past, seed=seed, factors=factors).fit(past)
            q = fitted.item_factors.weight.detach()[kept]
            taste = fitted.user_factors.weight.detach() @ q.T  # what any gauge leaves as it is
            found.append((nearest(q), nearest(taste.T), fitted.score(torch.arange(past.n_users))[:, kept]))
        for (i, a), (j, b) in combinations(enumerate(found), 2):
            pair = f"{i}-{j}"
            yield "neighbors", factors, pair, "same by factors", (a[0] == b[0]).double().mean().item()
            yield "neighbors", factors, pair, "same by taste scores", (a[1] == b[1]).double().mean().item()
            both = torch.stack([a[2].flatten(), b[2].flatten()])
            yield "neighbors", factors, pair, "correlation of scores", torch.corrcoef(both)[0, 1].item()


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


PARTS = {part.__name__: part for part in (dimension, start, hold, neighbors, clicks)}


def main(wanted: list[str]) -> None:
    """Run the named experiments, all of them when none is named: about ten minutes."""
    data, rows = movielens(), []
    for name in wanted or PARTS:
        for row in PARTS[name](data):
            rows.append(row)
            print(*row, flush=True)
    columns = ["experiment", "setting", "seed", "measure", "value"]
    write("ch06_embeddings", pd.DataFrame(rows, columns=columns), keys=columns[:-1], keep_others=bool(wanted))


if __name__ == "__main__":
    main(sys.argv[1:])
