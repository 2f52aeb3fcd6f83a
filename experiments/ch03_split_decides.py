"""Which model wins under which split? Chapter 3 shows ``results/ch03_split_decides.csv``.

Four models, four ways to split MovieLens-100K, NDCG@10 with a bootstrap interval over users. Random splits run with
three seeds; splits by time have no randomness, so their seed is 0.
"""

from __future__ import annotations

import pandas as pd
from _tables import SEEDS, movielens, write

from course_utils.data import splits
from course_utils.evaluation import bootstrap_interval, measure_lists_per_user
from course_utils.models.baselines import Popularity, Random, RecentPopularity
from course_utils.models.neighbors import EASE

SPLITS = {
    "random, by user": lambda ratings, seed: splits.random_split(ratings, seed=seed),
    "last 20 % of each user": lambda ratings, seed: splits.per_user_temporal(ratings),
    "last one of each user": lambda ratings, seed: splits.leave_last_out(ratings),
    "last 20 % of all": lambda ratings, seed: splits.temporal_split(ratings),
}
MODELS = {
    "random": lambda seed: Random(seed=seed),
    "popularity": lambda seed: Popularity(),
    "recent popularity": lambda seed: RecentPopularity(),
    "EASE": lambda seed: EASE(),
}


def main() -> None:
    """Run all of it: under a minute."""
    data, rows = movielens(), []
    for split, cut in SPLITS.items():
        for seed in SEEDS if "random" in split else (0,):
            train, test = map(data.interactions, cut(data.ratings, seed))
            for name, make in MODELS.items():
                ndcg = measure_lists_per_user(make(seed).fit(train), train, test)["ndcg@10"]
                low, high = bootstrap_interval(ndcg)
                row = {"split": split, "seed": seed, "model": name, "users": len(ndcg)}
                rows.append({**row, "ndcg@10": ndcg.mean(), "low": low, "high": high})
                print(f"{split:<24} {seed} {name:<18} {ndcg.mean():.4f}", flush=True)
    write("ch03_split_decides", pd.DataFrame(rows), keys=["split", "seed", "model"])


if __name__ == "__main__":
    main()
