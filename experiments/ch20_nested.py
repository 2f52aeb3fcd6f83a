"""The league table with its settings chosen inside each split, and by time as well as by chance (chapter 20).

    python experiments/ch20_nested.py              all models
    python experiments/ch20_nested.py EASE ALS     these only; the other rows stay

Lists: ``random`` is ``random_split`` with seeds 0, 1, 2. ``temporal`` is ``per_user_temporal``, the latest fifth of
each user's ratings. Many of them carry the same second, so the seed decides their order: 0 leaves them as they stand
in the file, 1 and 2 shuffle the rows first. For each split and seed the training part is split once more in the same
way, the settings of ``LISTS`` are fitted on its first part, and the one with the best NDCG@10 on its second is fitted
on the whole training part. Networks take minutes a fit and keep the setting of their chapter, which a validation part
of seed 0 of the random split has chosen.
Ratings: the five folds of ``k_fold(seed=0)``, with one fold of each training part for validation; factorisations keep
the setting of their chapter, chosen on validation parts of its own folds.

``results/ch20_search_lists.csv`` and ``ch20_search_stars.csv`` have all that was tried, ``ch20_nested.csv`` and
``ch20_nested_ratings.csv`` what the chosen settings give on the test part. For paired tests, one value a user:
``ch20_nested_users.csv`` the NDCG@10, mean over the seeds, and ``ch20_nested_ratings_users.csv`` the squared errors,
summed over the folds. A model that keeps the setting of its chapter on a random split or fold has the row that
``ch20_league.py`` wrote.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import torch
from _tables import COMMITTED, RESULTS, SEEDS, movielens, write
from ch20_league import RATINGS, TOP_N

from course_utils.data import MovieLens, splits
from course_utils.evaluation import measure_lists, measure_lists_per_user, measure_ratings

DEFAULT = "as in its chapter"
PENALTY = "regularization"
Setting = dict[str, float]


def around(name: str, *values: float) -> list[Setting]:
    """The chapter's setting, and one setting for each value."""
    return [{}, *({name: value} for value in values)]


NETWORKS = ["MF (embeddings)", "MF (BPR)", "LightGCN", "two-tower", "GCN", "Mult-DAE", "Mult-VAE", "NeuMF"]
LISTS: dict[str, list[Setting]] = {
    "random": [{}],
    "popularity": [{}],
    "recent popularity": around("days", 2.5, 5, 20, 40),
    "bias model": around(PENALTY, 30, 300, 3000, 30000),
    "association rules": around("min_count", 12, 25, 100, 200),
    "user kNN": around("k", 20, 40, 160, 320),
    "item kNN": around("k", 75, 150, 600, 1200),
    "content-based": around("seen_weight", 0.75, 1.5, 6, 12),
    "EASE": around(PENALTY, 100, 200, 800, 1600),
    "hybrid": around("evidence", 1.25, 2.5, 10, 20),
    "implicit ALS": [*around(PENALTY, 20, 80), {"alpha": 0.625}, {"alpha": 2.5}],
    **{name: [{}] for name in NETWORKS},
}
STARS: dict[str, list[Setting]] = {
    "bias model": around(PENALTY, 0.75, 1.5, 6, 12),
    "user kNN": around("k", 10, 20, 80, 160),
    "item kNN": around("k", 10, 20, 80, 160),
    **{name: [{}] for name in ("ALS", "BayesianMF", "MF (embeddings)", "AutoRec", "SVD++-like", "FM with context")},
}


def text(setting: Setting) -> str:
    """A setting as a word of a table."""
    return " ".join(f"{name} {value:g}" for name, value in setting.items()) or DEFAULT


def cut(ratings: pd.DataFrame, split: str, seed: int, *, inner: bool = False) -> splits.Split:
    """Training and test part; with ``inner`` the fitting and validation part of a training part."""
    if split == "random":
        return splits.random_split(ratings, seed=seed + 10 * inner)
    return splits.per_user_temporal(ratings.sample(frac=1, random_state=seed) if seed and not inner else ratings)


def choose(found: list[dict], candidates: list[Setting], *, lowest: bool = False) -> Setting:
    """The best of the candidates on the validation part; the first of several."""
    values = [row["validation"] * (-1 if lowest else 1) for row in found]
    return candidates[int(np.argmax(values))]


def lists(data: MovieLens, name: str, split: str) -> tuple[list[dict], list[dict], pd.Series]:
    """What was tried, a row a seed on the test part, and the NDCG@10 of each user, mean over the seeds."""
    tried, rows, users, setting = [], [], [], {}
    for seed in SEEDS:
        key = {"model": name, "split": split, "seed": seed}
        train, test = cut(data.ratings, split, seed)
        if len(LISTS[name]) > 1:
            part, valid = map(data.interactions, cut(train, split, seed, inner=True))
            for candidate in LISTS[name]:
                value = measure_lists(TOP_N[name](seed, **candidate).fit(part), part, valid)["ndcg@10"]
                tried.append({**key, "setting": text(candidate), "validation": value})
                print(*tried[-1].values(), flush=True)
            setting = choose(tried[-len(LISTS[name]) :], LISTS[name])
        if split == "random" and not setting:
            values, ndcg = known("ch20_league", name, seed), known("ch20_league_users", name, seed)
        else:
            train, test = map(data.interactions, (train, test))
            model = TOP_N[name](seed, **setting).fit(train)
            values = measure_lists(model, train, test)
            ndcg = measure_lists_per_user(model, train, test)["ndcg@10"].rename(str)
        measures = values[[label for label in values.index if label.endswith("@10")]]
        rows.append({**key, "setting": text(setting), **measures})
        users.append(ndcg)
        print(name, split, seed, text(setting), f"test {values['ndcg@10']:.4f}", flush=True)
    return tried, rows, pd.concat(users, axis=1).mean(axis=1)


def stars(data: MovieLens, name: str) -> tuple[list[dict], list[dict], pd.Series]:
    """What was tried, a row a fold on the test part, and the squared errors of each user, summed over the folds."""
    tried, rows, users, setting = [], [], [], {}
    for fold, (train, test) in enumerate(splits.k_fold(data.ratings, seed=0)):
        key = {"model": name, "split": "fold", "seed": fold}
        if len(STARS[name]) > 1:
            part, valid = map(data.interactions, next(splits.k_fold(train, seed=10 + fold)))
            for candidate in STARS[name]:
                value = measure_ratings(RATINGS[name](fold, **candidate).fit(part), valid)["rmse"]
                tried.append({**key, "setting": text(candidate), "validation": value})
                print(*tried[-1].values(), flush=True)
            setting = choose(tried[-len(STARS[name]) :], STARS[name], lowest=True)
        if setting:
            train, test = map(data.interactions, (train, test))
            model = RATINGS[name](fold, **setting).fit(train)
            values = measure_ratings(model, test)
            with torch.no_grad():
                squared = (model.predict(test.users, test.items).clamp(1, 5) - test.ratings).square()
            total = torch.bincount(test.users, squared, minlength=test.n_users)
            users.append(pd.Series(total.numpy(), test.user_ids.astype(str)))
        else:
            values = known("ch20_ratings", name, fold)
            users.append(known("ch20_ratings_users", name, fold))
        rows.append({"model": name, "fold": fold, "setting": text(setting), **values[["rmse", "mae"]]})
        print(name, fold, text(setting), f"test {values['rmse']:.4f}", flush=True)
    return tried, rows, pd.concat(users, axis=1).sum(axis=1)


def known(table: str, name: str, run: int) -> pd.Series:
    """The row of a model with the settings of its chapter."""
    return pd.read_csv(COMMITTED / f"{table}.csv", index_col=[0, 1]).loc[(name, run)]


def main(wanted: list[str]) -> None:
    """Run the wanted models, all of them when none is named; a part of a table is written after each model."""
    if unknown := set(wanted) - set(LISTS) - set(STARS):
        raise SystemExit(f"unknown model(s) {sorted(unknown)}; there are {sorted(set(LISTS) | set(STARS))}")
    data = movielens()
    for name in LISTS:
        if not wanted or name in wanted:
            parts = {split: lists(data, name, split) for split in ("random", "temporal")}
            save("ch20_nested", ["split", "seed"], name, parts)
    for name in STARS:
        if not wanted or name in wanted:
            save("ch20_nested_ratings", ["fold"], name, {"fold": stars(data, name)})


def save(table: str, keys: list[str], name: str, parts: dict[str, tuple]) -> None:
    """Put the rows of a model into the tables."""
    kind = "stars" if "fold" in parts else "lists"
    users = [{"model": name, "split": split, **values} for split, (_, _, values) in parts.items()]
    replace(table, name, [row for _, rows, _ in parts.values() for row in rows], ["model", *keys])
    replace(f"{table}_users", name, users, ["model", "split"], digits=4)
    if tried := [row for found, _, _ in parts.values() for row in found]:
        replace(f"ch20_search_{kind}", name, tried, ["model", "split", "seed", "setting"])


def replace(table: str, name: str, rows: list[dict], keys: list[str], **options: int) -> None:
    """Write a table with new rows for a model, the models in their order here."""
    path, order = RESULTS / f"{table}.csv", list(dict.fromkeys([*LISTS, *STARS]))
    old = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["model"])
    new = pd.concat([old[old["model"] != name], pd.DataFrame(rows)] if len(old) else [pd.DataFrame(rows)])
    write(table, new.sort_values("model", key=lambda c: c.map(order.index), kind="stable"), keys=keys, **options)


if __name__ == "__main__":
    main(sys.argv[1:])
