"""What the live figure "rate ten films" of chapter 5 takes along, and what it leaves at home.

``results/ch05_films.csv`` has, for each film, how many users of the training part rated it and its factors of implicit
ALS with its defaults: whole numbers of 16 bits as base64, in units of ``UNIT``. No rating, no title.
``results/ch05_films_lists.csv`` says what a smaller form would cost, for each of three random splits. NDCG@10 is of
users who are folded in from their training ratings: with fewer factors, with coarser ones, and for EASE with the
largest weights of each film alone. "same titles" is the share of the ten titles that stay, in lists from ten films of
each user.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from _tables import SEEDS, movielens, write

from course_utils import ranking
from course_utils.data import Interactions, splits
from course_utils.evaluation import measure_lists
from course_utils.models.als import ImplicitALS
from course_utils.models.base import fold_in
from course_utils.models.neighbors import EASE

UNIT = 2.0**-14  # the largest factor is below 2
KEPT = (10, 25, 50, 100)


class Folded:
    """A model whose users are all computed from their training ratings."""

    def __init__(self, model: ImplicitALS | EASE, past: Interactions) -> None:
        self.scores = fold_in(model, past)

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Scores of all films, ``(len(users), n_items)``."""
        return self.scores[users]


def rounded(model: ImplicitALS, bits: int) -> ImplicitALS:
    """The model with factors of so many bits."""
    unit = UNIT * 2 ** (16 - bits)
    model.item_factors = (model.item_factors / unit).round() * unit
    return model


def forms(past: Interactions) -> Iterator[tuple[str, str, ImplicitALS | EASE]]:
    """Models in the forms in which they could be shipped, the whole one first."""
    for factors in (64, 32, 16):
        model = ImplicitALS(factors).fit(past)
        yield "implicit ALS", f"{factors} factors", model
        for bits in (16, 8) if factors == 64 else ():
            yield "implicit ALS", f"{factors} factors, {bits} bits", rounded(model, bits)
    model = EASE().fit(past)
    weights = model.weights
    yield "EASE", "all weights", model
    for kept in KEPT:
        least = weights.topk(kept, dim=1).values[:, -1:]
        model.weights = weights.where(weights >= least, torch.zeros(()))
        yield "EASE", f"{kept} weights a film", model


def few(past: Interactions, seed: int) -> Interactions:
    """Ten films of each user, by chance."""
    order = np.random.default_rng(seed).permutation(len(past))
    users = past.users.numpy()[order]
    kept = order[pd.Series(users).groupby(users).cumcount().to_numpy() < 10]
    columns = {
        name: getattr(past, name)[torch.from_numpy(kept)] for name in ("users", "items", "ratings", "timestamps")
    }
    return replace(past, **columns)


def lists(model: ImplicitALS | EASE, history: Interactions) -> torch.Tensor:
    """Ten films for each history, without its own, ``(n_users, 10)``."""
    return ranking.top_k(fold_in(model, history).masked_fill(history.mask(), -torch.inf), 10)


def main() -> None:
    """Run all of it: about two minutes."""
    data, rows = movielens(), []
    for seed in SEEDS:
        past, future = map(data.interactions, splits.random_split(data.ratings, seed=seed))
        history, whole = few(past, seed), {}
        for name, form, model in forms(past):
            ndcg = measure_lists(Folded(model, past), past, future)["ndcg@10"]
            found = lists(model, history)
            same = (found[:, :, None] == whole.setdefault(name, found)[:, None]).any(dim=2).double().mean().item()
            rows.append({"model": name, "form": form, "seed": seed, "ndcg@10": ndcg, "same titles": same})
            print(seed, name, form, f"{ndcg:.4f} {same:.4f}", flush=True)
            if seed == 0 and form == "64 factors":
                ship(past, model.item_factors)
    write("ch05_films_lists", pd.DataFrame(rows), keys=["model", "form", "seed"], digits=4)


def ship(past: Interactions, factors: torch.Tensor) -> None:
    """Write what the figure takes along."""
    whole = (factors / UNIT).round().numpy()
    assert np.abs(whole).max() < 2**15
    coded = [base64.b64encode(row.astype("<i2").tobytes()).decode() for row in whole]
    raters = torch.bincount(past.items, minlength=past.n_items).numpy()
    write("ch05_films", pd.DataFrame({"item_id": past.item_ids, "raters": raters, "base64": coded}), keys=["item_id"])


if __name__ == "__main__":
    main()
