"""How many factors, and how much regularization? Chapter 5 shows ``results/ch05_als_grid.csv``.

``ALS`` on MovieLens-100K. The training part of a fold of ``k_fold(seed=0)`` is cut again: a random tenth of it is for
validation. The test part of the fold is never looked at. Three folds; λ times the counts (ALS-WR) for all ranks; for
one rank also λ alone, and ALS-WR without biases.
"""

from __future__ import annotations

from itertools import islice, product

import pandas as pd
from _tables import SEEDS, movielens, write

from course_utils.data import splits
from course_utils.evaluation import measure_ratings
from course_utils.models.als import ALS

FACTORS = (2, 5, 15, 30, 60)
WEIGHTED = (0.03, 0.07, 0.14, 0.2, 0.3)
GRID = [
    *(("weighted", factors, strength) for factors, strength in product(FACTORS, WEIGHTED)),
    *(("constant", 30, strength) for strength in (5.0, 10.0, 14.0, 20.0)),
    *(("no biases", 30, strength) for strength in (0.07, 0.1, 0.14, 0.2)),
]


def main() -> None:
    """Run all of it: about four minutes."""
    data, rows = movielens(), []
    for fold, (past, _) in enumerate(islice(splits.k_fold(data.ratings, seed=0), len(SEEDS))):
        parts = splits.random_split(past, test_size=0.1, by_user=False, seed=fold)
        train, validation = map(data.interactions, parts)
        for penalty, factors, strength in GRID:
            options = {"weighted": penalty != "constant", "biases": penalty != "no biases"}
            model = ALS(factors, strength, iterations=20, **options).fit(train)
            on_train, on_validation = (measure_ratings(model, part)["rmse"] for part in (train, validation))
            key = {"penalty": penalty, "factors": factors, "regularization": strength, "fold": fold}
            rows.append({**key, "train_rmse": on_train, "validation_rmse": on_validation})
            print(f"{fold} {penalty} {factors:>3} {strength:<5} {on_validation:.4f}", flush=True)
    write("ch05_als_grid", pd.DataFrame(rows), keys=["penalty", "factors", "regularization", "fold"])


if __name__ == "__main__":
    main()
