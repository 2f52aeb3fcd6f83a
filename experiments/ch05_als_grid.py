"""Which penalty, how many factors, how much regularization? Chapter 5 shows ``results/ch05_als_grid.csv``.

``ALS`` on MovieLens-100K. The training part of a fold of ``k_fold(seed=0)`` is cut again: a random tenth of it is for
validation. The test part of the fold is never looked at. Three folds. Both penalties have one grid: λ is written in
hundreds for the plain one, which does not count ratings. Where a fit costs much, with many factors, near the bottom
alone. For one rank also the plain penalty without biases.
"""

from __future__ import annotations

from itertools import islice, product

import pandas as pd
from _tables import SEEDS, movielens, write

from course_utils.data import splits
from course_utils.evaluation import measure_ratings
from course_utils.models.als import ALS

STRENGTHS = (0.03, 0.07, 0.1, 0.12, 0.14, 0.16, 0.2)
PAIRS = [*product((2, 5, 15, 30), STRENGTHS), *product((60,), STRENGTHS[2:]), (90, 0.14)]
GRID = [
    *(("constant", factors, round(100 * strength)) for factors, strength in PAIRS),
    *(("weighted", factors, strength) for factors, strength in PAIRS),
    *(("no biases", 30, round(100 * strength)) for strength in STRENGTHS),
]


def main() -> None:
    """Run all of it: about ten minutes."""
    data, rows = movielens(), []
    folds = [past for past, _ in islice(splits.k_fold(data.ratings, seed=0), len(SEEDS))]
    parts = [splits.random_split(past, test_size=0.1, by_user=False, seed=fold) for fold, past in enumerate(folds)]
    parts = [tuple(map(data.interactions, pair)) for pair in parts]
    for (penalty, factors, strength), (fold, (train, validation)) in product(GRID, enumerate(parts)):
        options = {"weighted": penalty == "weighted", "biases": penalty != "no biases"}
        model = ALS(factors, strength, iterations=20, **options).fit(train)
        on_train, on_validation = (measure_ratings(model, part)["rmse"] for part in (train, validation))
        key = {"penalty": penalty, "factors": factors, "regularization": strength, "fold": fold}
        rows.append({**key, "train_rmse": on_train, "validation_rmse": on_validation})
        print(f"{fold} {penalty} {factors:>3} {strength:<5g} {on_validation:.4f}", flush=True)
    write("ch05_als_grid", pd.DataFrame(rows), keys=["penalty", "factors", "regularization", "fold"])


if __name__ == "__main__":
    main()
