"""Do intervals hold what they promise, and what does a posterior buy? Chapter 5 shows ``results/ch05_intervals.csv``.

90 % intervals on the test parts of folds 0, 1, 2 of ``k_fold(seed=0)``. Either from the posterior of ``BayesianMF``, or
around the prediction of a model by what the same model got wrong on a validation part: fitted on nine tenths of the
training part, its residuals on the last tenth have a 5 % and a 95 % quantile, for all users or for each group of users
by their number of ratings (split conformal prediction, and its form by groups). The prediction then comes from a fit
on the whole training part.
"""

from __future__ import annotations

from itertools import islice

import pandas as pd
import torch
from _tables import SEEDS, movielens, write

from course_utils.data import Interactions, splits
from course_utils.models.als import ALS
from course_utils.models.bayesian_mf import BayesianMF

EDGES, GROUPS = (30, 100, 300), ("to 30", "31 to 100", "101 to 300", "over 300")
TAILS = torch.tensor([0.05, 0.95], dtype=torch.float64)


def activity(train: Interactions, rows: Interactions, share: float = 1.0) -> torch.Tensor:
    """The number of the group of each row's user, by ratings in the training part, of which ``train`` is a share."""
    counts = torch.bincount(train.users, minlength=train.n_users)[rows.users] / share
    return torch.bucketize(counts, torch.tensor(EDGES, dtype=counts.dtype))


def main() -> None:
    """Run all of it: about a minute."""
    data, rows = movielens(), []
    for fold, (past, future) in enumerate(islice(splits.k_fold(data.ratings, seed=0), len(SEEDS))):
        train, test = map(data.interactions, (past, future))
        parts = splits.random_split(past, test_size=0.1, by_user=False, seed=fold)
        fit_part, validation = map(data.interactions, parts)
        groups, found = activity(train, test), {}
        for name, make in {"ALS": ALS, "BayesianMF": BayesianMF}.items():
            residuals = validation.ratings - make().fit(fit_part).predict(validation.users, validation.items)
            model = make().fit(train)
            middle = model.predict(test.users, test.items)
            around = torch.quantile(residuals, TAILS)[:, None]
            held = activity(fit_part, validation, 0.9)
            tails = [torch.quantile(residuals[held == group], TAILS) for group in range(len(GROUPS))]
            found[name, "residuals"] = middle, *(middle + around)
            found[name, "residuals by activity"] = middle, *(middle + torch.stack(tails)[groups].T)
            if name == "BayesianMF":
                found[name, "posterior"] = middle, *model.predict_interval(test.users, test.items, 0.9)
        for (name, interval), (middle, low, high) in found.items():
            inside = ((test.ratings >= low) & (test.ratings <= high)).double()
            squared = (test.ratings - middle).square()
            for group, chosen in {"all": groups >= 0, **{g: groups == i for i, g in enumerate(GROUPS)}}.items():
                measures = [x[chosen].mean().item() for x in (inside, high - low, squared)]
                rows.append((name, interval, fold, group, int(chosen.sum()), *measures[:2], measures[2] ** 0.5))
                print(*rows[-1], flush=True)
    columns = ["model", "interval", "fold", "users", "pairs", "covered", "width", "rmse"]
    write("ch05_intervals", pd.DataFrame(rows, columns=columns), keys=columns[:4])


if __name__ == "__main__":
    main()
