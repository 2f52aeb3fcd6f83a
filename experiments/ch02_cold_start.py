"""How many ratings does a new film need? Chapter 2 shows ``results/ch02_cold_start.csv``.

A hundred films are held out of MovieLens-100K, as if they were new. 0, 1, 2, 5, 10, 20 or 50 of their ratings are fed
back; those after the fiftieth are the test. AUC over users: how often a held-out film that the user rated stands above
one that the user did not rate. The hybrid stands beside two plain mixtures. Which ratings come back first is a choice:

- ``drawn``: any of them, in random order. Five draws of films.
- ``in time``: the earliest. The same films.
- ``late films``: the earliest, of the films that came more than a week after the log began; there is one such set.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from _tables import movielens, write

from course_utils.data.features import item_features
from course_utils.models.content import ContentBased, Hybrid, auc_per_user, hold_out_items, standardize
from course_utils.models.neighbors import ItemKNN

STEPS = (0, 1, 2, 5, 10, 20, 50)
SEEDS = (0, 1, 2, 3, 4)
WEEK = 7 * 86_400


def held_out(order: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ratings of the other films, and those of the held-out films with their turn."""
    ratings = movielens().ratings
    if order == "late films":
        films = ratings.groupby("item_id").timestamp.agg(["min", "size"])
        late = films.index[(films["min"] > ratings.timestamp.min() + WEEK) & (films["size"] >= 100)]
        known, held = ratings[~ratings.item_id.isin(late)], ratings[ratings.item_id.isin(late)]
    else:
        known, held = hold_out_items(ratings, seed=seed)
    if order != "drawn":
        held = held.sort_index().sort_values("timestamp", kind="stable")
    return known, held.assign(turn=held.groupby("item_id").cumcount())


def main() -> None:
    """Run all of it: about two minutes."""
    data, rows = movielens(), []
    features, everyone = item_features(data.items), torch.arange(len(data.users))
    draws = [(order, seed) for order in ("drawn", "in time") for seed in SEEDS] + [("late films", 0)]
    for order, seed in draws:
        known, held = held_out(order, seed)
        codes = data.interactions(held).items.unique()
        rated = data.interactions(held[held.turn >= max(STEPS)]).mask()[:, codes]
        others = ~data.interactions(held).mask()[:, codes]
        for n in STEPS:
            train = data.interactions(pd.concat([known, held[held.turn < n]]))
            hybrid = Hybrid(ContentBased(features), ItemKNN()).fit(train)
            content, knn = (part.score(everyone) for part in (hybrid.content, hybrid.collaborative))
            compared = {
                "content-based": content,
                "item kNN": knn,
                "raw sum": content + knn,
                "half and half": standardize(content) + standardize(knn),
                "hybrid": hybrid.score(everyone),
            }
            for name, scores in compared.items():
                values = auc_per_user(scores[:, codes], rated, others)
                row = {"order": order, "seed": seed, "ratings": n, "model": name}
                row |= {"films": len(codes), "users": int((~values.isnan()).sum())}
                rows.append({**row, "auc": values.nanmean().item()})
            print(order, seed, n, np.round([row["auc"] for row in rows[-5:]], 4), flush=True)
    write("ch02_cold_start", pd.DataFrame(rows), keys=["order", "seed", "ratings", "model"])


if __name__ == "__main__":
    main()
