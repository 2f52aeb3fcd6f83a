"""How well do autoencoders complete ratings and clicks? Chapter 17 shows the tables.

    python experiments/ch17_autoencoders.py                    all parts: about ten minutes
    python experiments/ch17_autoencoders.py Mult-DAE identity  these only; the other rows stay

- ``item``, ``user``: AutoRec by items, by users, and the mean of both, on the five folds of ``k_fold(seed=0)``
(``results/ch17_autorec.csv``). Penalty and epochs are chosen on one fold of the first fold's training part.
- ``Mult-DAE``, ``Mult-VAE``: on ``random_split`` seeds 0, 1, 2 (``results/ch17_autoencoders.csv``). Dropout and
epochs are chosen on a fifth of split 0's training part.
- ``identity``: a linear autoencoder with a free and with a zero diagonal, by its penalty
(``results/ch17_identity.csv``).
- ``collapse``: Mult-VAE with 50 factors by β on the validation part of each split: NDCG, nats, factors in use
(``results/ch17_collapse.csv``).
- ``published``: AutoRec with its defaults on a random tenth, as in Dive into Deep Learning
(``results/ch17_published_autorec.csv``).

The searches stand in ``results/ch17_autorec_search.csv`` and ``results/ch17_autoencoders_search.csv``; the best setting
is never at the edge of its grid.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _climb import Grids, Setting, climb
from _tables import SEEDS, movielens, write

from course_utils.data import Interactions, MovieLens, splits
from course_utils.evaluation import measure_lists, measure_ratings
from course_utils.evaluation.metrics import rmse
from course_utils.models.autoencoders import AutoRec, MultDAE, MultVAE, gaussian_kl
from course_utils.models.neighbors import EASE

STARS: tuple[Grids, Setting] = (
    {"regularization": (20.0, 40.0, 80.0, 160.0, 320.0), "epochs": (10, 20, 40, 80, 160)},
    {"regularization": 80.0, "epochs": 40},
)
EPOCHS = (15, 25, 40, 60, 100)
LISTS: dict[str, tuple[type[MultDAE], Grids, Setting]] = {
    "Mult-DAE": (
        MultDAE,
        {"dropout": (0.4, 0.5, 0.6, 0.7, 0.8, 0.9), "epochs": EPOCHS},
        {"dropout": 0.7, "epochs": 40},
    ),
    "Mult-VAE": (
        MultVAE,
        {"dropout": (0.4, 0.5, 0.6, 0.7, 0.8, 0.9), "epochs": EPOCHS},
        {"dropout": 0.5, "epochs": 40},
    ),
}
PENALTIES = (1.0, 10.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0)
BETAS = (0.0, 0.05, 0.2, 0.8, 3.0, 10.0, 336.4)
SCRATCH = Path(tempfile.gettempdir())  # predictions of one side wait here for the other's


def stars(data: MovieLens, side: str) -> None:
    """RMSE and MAE of AutoRec by one side, a row a fold; and of the mean of both, once both are there."""
    part, valid = None, None
    tried, rows, predictions = [], [], []
    for fold, (train, test) in enumerate(splits.k_fold(data.ratings, seed=0)):
        if fold == 0:
            part, valid = map(data.interactions, next(splits.k_fold(train, seed=10)))

            def value(setting: Setting, part=part, valid=valid) -> float:
                return -round(measure_ratings(AutoRec(side, seed=0, **setting).fit(part), valid)["rmse"], 4)

            setting, tried = climb(*STARS, value)
        train, test = map(data.interactions, (train, test))
        model = AutoRec(side, seed=fold, **setting).fit(train)
        predictions.append(model.predict(test.users, test.items))
        rows.append({"side": side, "fold": fold, **setting, **measure_ratings(model, test)})
        print(*rows[-1].values(), flush=True)
    torch.save(predictions, SCRATCH / f"autorec_{side}.pt")
    if all((SCRATCH / f"autorec_{each}.pt").exists() for each in ("item", "user")):
        pairs = zip(*(torch.load(SCRATCH / f"autorec_{each}.pt") for each in ("item", "user")), strict=True)
        for fold, (pair, (_, test)) in enumerate(zip(pairs, splits.k_fold(data.ratings, seed=0), strict=True)):
            mean, stars = (sum(pair) / 2).clamp(1, 5), data.interactions(test).ratings
            error = {"rmse": rmse(mean, stars), "mae": float((mean - stars).abs().mean())}
            rows.append({"side": "both", "fold": fold, **error})
    tried = pd.DataFrame([{"side": side, **row} for row in tried])
    write("ch17_autorec_search", tried, keys=["side", "regularization", "epochs"], keep_others=True)
    write("ch17_autorec", pd.DataFrame(rows), keys=["side", "fold"], keep_others=True)


def parts(data: MovieLens, split: int) -> tuple[tuple[Interactions, Interactions], tuple[Interactions, Interactions]]:
    """Fitting and validation part of a split's training part; its training and its test part."""
    train, test = splits.random_split(data.ratings, seed=split)
    inner = splits.random_split(train, seed=split + 10)
    return tuple(map(data.interactions, inner)), tuple(map(data.interactions, (train, test)))


def lists(data: MovieLens, name: str) -> None:
    """All measures of a model of clicks, a row a split."""
    model, *where = LISTS[name]
    (part, valid), _ = parts(data, 0)

    def value(setting: Setting) -> float:
        fitted = model(seed=0, **setting).fit(part)
        found = round(measure_lists(fitted, part, valid)["ndcg@10"], 4)
        print(*setting.values(), found, flush=True)
        return found

    setting, tried = climb(*where, value)
    rows = []
    for split in SEEDS:
        _, (train, test) = parts(data, split)
        measured = measure_lists(model(seed=split, **setting).fit(train), train, test)
        rows.append({"model": name, "split": split, **setting, **measured})
        print(*list(rows[-1].values())[:6], flush=True)
    keys = ["model", "dropout", "epochs"]
    table = pd.DataFrame([{"model": name, **row} for row in tried]).reindex(columns=[*keys, "validation"])
    write("ch17_autoencoders_search", table, keys=keys, keep_others=True)
    front = ["model", "split", "dropout", "epochs"]
    columns = front + [name for name in rows[0] if name not in front]
    table = pd.DataFrame(rows).reindex(columns=columns)
    write("ch17_autoencoders", table, keys=front[:2], keep_others=True)


class Free(EASE):
    """EASE without its constraint: ridge regression of each item on all items, itself among them."""

    def fit(self, interactions: Interactions) -> Free:
        """Solve one system; the weights are ``I - regularization * P``."""
        super().fit(interactions)
        gram = torch.from_numpy((self._seen.T @ self._seen).toarray())
        gram.diagonal().add_(self.regularization)
        self.weights = torch.eye(len(gram)) - self.regularization * torch.linalg.inv(gram)
        return self


def identity(data: MovieLens) -> None:
    """NDCG@10 and mean diagonal by penalty, on the validation part of each split."""
    rows = []
    for split in SEEDS:
        (part, valid), _ = parts(data, split)
        for penalty in PENALTIES:
            for name, model in (("free", Free(penalty)), ("zero", EASE(penalty))):
                ndcg = measure_lists(model.fit(part), part, valid)["ndcg@10"]
                diagonal = float(model.weights.diagonal().mean())
                rows.append(
                    {"diagonal": name, "split": split, "penalty": penalty, "ndcg@10": ndcg, "mean diagonal": diagonal}
                )
                print(*rows[-1].values(), flush=True)
    write("ch17_identity", pd.DataFrame(rows), keys=["diagonal", "split", "penalty"])


def collapse(data: MovieLens) -> None:
    """Mult-VAE by β, with the settings of the chapter's clinic, on the validation part of each split."""
    rows = []
    for split in SEEDS:
        (part, valid), _ = parts(data, split)
        for beta in BETAS:
            model = MultVAE(50, beta=beta, dropout=0.5, epochs=30, seed=split).fit(part)
            mean, log_variance = model.clouds(part.users.unique())
            row = {"split": split, "beta": beta, "ndcg@10": measure_lists(model, part, valid)["ndcg@10"]}
            row["nats"] = float(gaussian_kl(mean, log_variance).sum(1).mean())
            row["active"] = int((mean.var(0) > 0.01).sum())  # Burda et al. (2016): means that move with the user
            rows.append(row)
            print(*row.values(), flush=True)
    write("ch17_collapse", pd.DataFrame(rows), keys=["split", "beta"])


def published(data: MovieLens) -> None:
    """RMSE of AutoRec on a random tenth of all ratings, the first by the other book's own rule and seed."""
    rows = []
    for seed in range(5):
        keep = np.random.RandomState(seed).uniform(size=len(data.ratings)) < 0.9
        train, test = map(data.interactions, (data.ratings[keep], data.ratings[~keep]))
        model = AutoRec(seed=seed).fit(train)
        plain = float((model.predict(test.users, test.items) - test.ratings).square().mean().sqrt())
        rows.append({"seed": seed, "rmse": measure_ratings(model, test)["rmse"], "rmse, not clipped": plain})
        print(*rows[-1].values(), flush=True)
    write("ch17_published_autorec", pd.DataFrame(rows), keys=["seed"])


PARTS: dict[str, Callable[[MovieLens], None]] = {
    **{side: partial(stars, side=side) for side in ("item", "user")},
    **{name: partial(lists, name=name) for name in LISTS},
    **{part.__name__: part for part in (identity, collapse, published)},
}


def main(wanted: list[str]) -> None:
    """Run the wanted parts, all of them when none is named."""
    data = movielens()
    for name in wanted or PARTS:
        PARTS[name](data)


if __name__ == "__main__":
    main(sys.argv[1:])
