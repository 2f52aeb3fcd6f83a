"""Which similarity, and how many neighbours? Chapter 4 shows ``results/ch04_neighborhood.csv``.

Everything is measured inside the training parts of ``random_split``, seeds 0, 1, 2: a fifth of each user's training
ratings is put aside once more. So the settings that the book's models have were chosen without the test part.
``plain``: norms over common ratings, no shrinkage, no constant. ``shrunk``: norms over all ratings of a row,
shrinkage 25, constant 0.1. The rows of the second question vary k with the package's defaults.
"""

from __future__ import annotations

import pandas as pd
from _tables import SEEDS, movielens, write

from course_utils.data import splits
from course_utils.evaluation import measure_lists, measure_ratings
from course_utils.models.baselines import BiasModel
from course_utils.models.neighbors import ItemKNN, UserKNN

SIDES = {"users": UserKNN, "items": ItemKNN}
KINDS = ("cosine", "tfidf", "adjusted_cosine", "pearson", "jaccard")
VARIANTS = {
    "plain": {"common": True, "shrinkage": 0, "damping": 0},
    "shrunk": {"common": False, "shrinkage": 25, "damping": 0.1},
}
NEIGHBORS = (1, 5, 10, 20, 40, 80, 160, 320, 640)


def main() -> None:
    """Run all of it: a few minutes."""
    data, rows = movielens(), []
    for seed in SEEDS:
        past, _ = splits.random_split(data.ratings, seed=seed)
        train, test = map(data.interactions, splits.random_split(past, seed=100 + seed))
        jobs = [("similarity", "both", "none", "biases only", 0, BiasModel())]
        for side, make in SIDES.items():
            for kind in KINDS:
                for variant, options in VARIANTS.items():
                    jobs.append(("similarity", side, kind, variant, 40, make(40, kind, **options)))
            jobs += [("k", side, "tfidf", "default", k, make(k)) for k in NEIGHBORS]
        for question, side, kind, variant, k, model in jobs:
            rmse = measure_ratings(model.fit(train), test)["rmse"]
            ndcg = measure_lists(model, train, test)["ndcg@10"]
            row = {"question": question, "side": side, "similarity": kind, "variant": variant, "k": k}
            rows.append({**row, "seed": seed, "rmse": rmse, "ndcg@10": ndcg})
            print(*row.values(), seed, f"{rmse:.4f} {ndcg:.4f}", flush=True)
    keys = ["question", "side", "similarity", "variant", "k", "seed"]
    write("ch04_neighborhood", pd.DataFrame(rows), keys=keys)


if __name__ == "__main__":
    main()
