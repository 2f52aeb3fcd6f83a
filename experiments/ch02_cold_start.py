"""How many ratings does a new film need? Chapter 2 shows ``results/ch02_cold_start.csv``.

A hundred films are held out of MovieLens-100K, as if they were new. The first 0, 1, 2, 5, 10, 20 or 50 of their ratings
are fed back; those after the fiftieth are the test. AUC over users: how often a held-out film that the user rated
stands above one that the user did not rate. Five draws of films. The hybrid stands beside two plain mixtures.
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


def main() -> None:
    """Run all of it: about a minute."""
    data, rows = movielens(), []
    features, everyone = item_features(data.items), torch.arange(len(data.users))
    for seed in SEEDS:
        known, held = hold_out_items(data.ratings, seed=seed)
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
                row = {"seed": seed, "ratings": n, "model": name, "users": int((~values.isnan()).sum())}
                rows.append({**row, "auc": values.nanmean().item()})
            print(seed, n, np.round([row["auc"] for row in rows[-5:]], 4), flush=True)
    write("ch02_cold_start", pd.DataFrame(rows), keys=["seed", "ratings", "model"])


if __name__ == "__main__":
    main()
