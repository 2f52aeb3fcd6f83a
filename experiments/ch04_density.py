"""When do neighbours help? Errors and lists against the density of the ratings. Chapter 4 shows both tables.

``results/ch04_density.csv``: RMSE of the biases alone and of k-nearest-neighbour models, k = 40, with and without
shrinkage κ = 25 in the similarities and a constant δ in the denominator (users: δ = 2, items: δ = 0.5).
A random fifth of all ratings is put aside, 10,000 of it are the test part; the training part is thinned, each share
inside the next larger one.

``results/ch04_density_lists.csv``: NDCG@10 of lists from ``random_split``, training parts thinned alike, the models
as in the league table, and item kNN once more with shrinkage κ = 25.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from _tables import SEEDS, movielens, write

from course_utils.data import Interactions, splits
from course_utils.evaluation import measure_lists, measure_ratings
from course_utils.models.base import RatingModel
from course_utils.models.baselines import BiasModel, Popularity
from course_utils.models.neighbors import EASE, ItemKNN, UserKNN

SHARES = (0.03, 0.06, 0.125, 0.25, 0.5, 1.0)
LISTS = {
    "popularity": lambda: Popularity(),
    "user kNN": lambda: UserKNN(k=80),
    "item kNN": lambda: ItemKNN(k=300),
    "item kNN, shrinkage": lambda: ItemKNN(k=300, shrinkage=25),
    "EASE": lambda: EASE(),
}


def rating_models(train: Interactions) -> Iterator[tuple[str, str, RatingModel]]:
    """Side, variant and fitted model: the biases, then users and items in four variants each."""
    yield "both", "biases only", BiasModel().fit(train)
    for shrinkage in (0, 25):
        suffix = " and shrinkage" if shrinkage else ""
        users = UserKNN(similarity="pearson", shrinkage=shrinkage, damping=0, common=True)
        items = ItemKNN(similarity="adjusted_cosine", shrinkage=shrinkage, damping=0)
        for side, model, damping in (("users", users, 2.0), ("items", items, 0.5)):
            model.fit(train)
            yield side, "shrinkage" if shrinkage else "plain", model
            model.damping = damping  # only predict looks at it
            yield side, "constant" + suffix, model


def rating_rows(data: object, seed: int, shares: tuple[float, ...] = SHARES) -> list[dict]:
    """RMSE of every model at every share, one seed."""
    past, future = splits.random_split(data.ratings, by_user=False, seed=seed)
    test = data.interactions(future.sample(10_000, random_state=seed))
    order, rows = np.random.default_rng(seed).permutation(len(past)), []
    for share in shares:
        train = data.interactions(past.iloc[np.sort(order[: int(share * len(past))])])
        density = len(train) / (train.n_users * train.n_items)
        for side, variant, model in rating_models(train):
            row = {"side": side, "variant": variant, "share": share, "seed": seed, "density": density}
            rows.append({**row, "rmse": measure_ratings(model, test)["rmse"]})
        print(f"seed {seed} density {density:.4f}", flush=True)
    return rows


def list_rows(data: object, seed: int) -> list[dict]:
    """NDCG@10 of every list model at every share, one seed."""
    past, future = splits.random_split(data.ratings, seed=seed)
    test = data.interactions(future)
    order, rows = np.random.default_rng(seed).permutation(len(past)), []
    for share in SHARES:
        train = data.interactions(past.iloc[np.sort(order[: int(share * len(past))])])
        density = len(train) / (train.n_users * train.n_items)
        for name, make in LISTS.items():
            ndcg = measure_lists(make().fit(train), train, test)["ndcg@10"]
            rows.append({"model": name, "share": share, "seed": seed, "density": density, "ndcg@10": ndcg})
        print(f"seed {seed} density {density:.4f} lists", flush=True)
    return rows


def main() -> None:
    """Run all of it: a few minutes."""
    data = movielens()
    ratings = [row for seed in SEEDS for row in rating_rows(data, seed)]
    write("ch04_density", pd.DataFrame(ratings), keys=["side", "variant", "share", "seed"])
    lists = [row for seed in SEEDS for row in list_rows(data, seed)]
    write("ch04_density_lists", pd.DataFrame(lists), keys=["model", "share", "seed"])


if __name__ == "__main__":
    main()
