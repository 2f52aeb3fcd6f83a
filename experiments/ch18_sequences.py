"""What comes next? Models that read order against models that do not. Chapter 18 shows the tables.

    python experiments/ch18_sequences.py                   all parts: about three quarters of an hour
    python experiments/ch18_sequences.py search SASRec     the search of one model; the other rows stay
    python experiments/ch18_sequences.py orders            one part, of all models or of some

The test film is the last one of each user; all films that the user has not rated in training are ranked.

- ``search``: each model's settings on the film before the last, with neither of the two in training, by NDCG@10
(``results/ch18_search.csv``); the best setting is at no edge of its grid. Networks have a small budget, the same for
all: four passes with a step size of 0.004; their dropout is searched. SASRec and GRU4Rec have a larger one beside it:
dropout, then step size, each setting trained for up to ten passes, until two in turn are no better; the best pass
counts, the tenth too.
- ``models``: in file order, networks with three seeds; the test film among all unseen films, among 100 drawn uniformly
(in closed form) and among 100 drawn by popularity (``results/ch18_models.csv``). And each user's hits, means over the
seeds, beside the seconds between the test film and the one before it (``results/ch18_users.csv``).
- ``orders``: with the same settings, with the ties of one second shuffled, by item id, and with each user's whole
history shuffled (``results/ch18_orders.csv``). Five draws of an order for models that count; two for SASRec and
GRU4Rec with the small budget, each with a seed of its own.
"""

from __future__ import annotations

import math
import sys
from itertools import product

import numpy as np
import pandas as pd
from _climb import Setting, climb
from _sequences import COUNTED, MODELS, NEURAL, Judge, made, measured
from _tables import RESULTS, SEEDS, movielens, write

from course_utils.data import Interactions, MovieLens, splits
from course_utils.evaluation import measure_lists, measure_lists_per_user
from course_utils.models.base import Recommender

SHOWN = ("SASRec", "GRU4Rec")
LARGER = {f"{name}, larger budget": MODELS[name][0] for name in SHOWN}
RATES, EPOCHS, PATIENCE = (0.001, 0.002, 0.004, 0.008, 0.016), 10, 2
SETTINGS = ["dropout", "lr", "epochs", "k", "regularization", "smoothing", "decay"]


def search(data: MovieLens, names: list[str]) -> None:
    """A row a setting: what each model reaches on the film before the last."""
    past, last = splits.leave_last_out(splits.leave_last_out(data.ratings)[0])
    part, valid = data.interactions(past), data.interactions(last)

    def ndcg(model: Recommender) -> float:
        return round(measure_lists(model, part, valid)["ndcg@10"], 4)

    def small(setting: Setting) -> dict:
        return {"validation": ndcg(kind(**fixed, **setting).fit(part))}

    def large(setting: Setting) -> dict:
        model = kind(**setting, epochs=EPOCHS)
        watch = {"validate": lambda _: ndcg(model), "patience": PATIENCE, "higher_is_better": True}
        history = model.fit(part, **watch).history
        return {"epochs": history.attrs["best_epoch"], "validation": history["validation"].max()}

    def value(setting: Setting) -> float:
        if setting.get("dropout", 0) < 0:
            return -math.inf
        known = [row for row in rows if setting.items() <= row.items()]
        if not known:
            rows.append(setting | (large if name in LARGER else small)(setting))
            print(name, *rows[-1].values(), flush=True)
        return (known or rows[-1:])[0]["validation"]

    for name in names or [*(name for name, (_, _, grids, _) in MODELS.items() if grids), *LARGER]:
        kind, fixed, grids, start = MODELS[name.removesuffix(", larger budget")]
        rows: list[dict] = []
        if "dropout" in grids:
            grids = {"dropout": (-1.0, *grids["dropout"])}  # 0 is no edge: there is nothing below
        if name in LARGER:
            rate = {"lr": RATES[len(RATES) // 2]}
            best = climb(grids, start, lambda setting: value(setting | rate))[0]  # noqa: B023
            climb({"lr": RATES}, rate, lambda rate: value(best | rate))  # noqa: B023
        else:
            climb(grids, start, value)
        tried = pd.DataFrame(rows).assign(model=name)
        tried = tried.reindex(columns=["model", *SETTINGS, "validation"]).astype({"k": "Int64", "epochs": "Int64"})
        write("ch18_search", tried, keys=["model", *SETTINGS], keep_others=True)


def chosen(name: str, seed: int) -> Recommender:
    """A model of that name with the best of its settings."""
    if name not in LARGER:
        return made(name, seed)
    tried = pd.read_csv(RESULTS / "ch18_search.csv").query("model == @name")
    best = tried.sort_values("validation", kind="stable").iloc[-1]
    return LARGER[name](dropout=best["dropout"], lr=best["lr"], epochs=int(best["epochs"]), seed=seed)


def models(data: MovieLens, names: list[str]) -> None:
    """Each model on the last film of each user, in file order."""
    past, last = splits.leave_last_out(data.ratings)
    train, test = data.interactions(past), data.interactions(last)
    judge = Judge(data.interactions(data.ratings), test)
    before = past.groupby("user_id").timestamp.max()
    now = last.set_index("user_id").timestamp
    users = pd.DataFrame({"user_id": now.index.sort_values()}).assign(
        gap=lambda table: (now - before)[table.user_id].to_numpy()
    )
    rows = []
    if (RESULTS / "ch18_users.csv").exists():
        users = users.merge(pd.read_csv(RESULTS / "ch18_users.csv").drop(columns="gap"), on="user_id")
    for name in names or [*MODELS, *LARGER]:
        hits = []
        for seed in (0,) if name in COUNTED else SEEDS:
            model = chosen(name, seed).fit(train)
            rows.append({"model": name, "seed": seed, **measured(model, train, test), **judge.hits(model)})
            hits.append(measure_lists_per_user(model, train, test)["hit_rate@10"])
            print(*rows[-1].values(), flush=True)
        users[name] = np.mean([each[users.user_id] for each in hits], axis=0)
    write("ch18_models", pd.DataFrame(rows), keys=["model", "seed"], keep_others=True)
    write(
        "ch18_users",
        users[["user_id", "gap", *(name for name in [*MODELS, *LARGER] if name in users)]],
        keys=["user_id"],
    )


def ordered(data: MovieLens, order: str, draw: int) -> tuple[Interactions, Interactions]:
    """Training and test part, the last film of each user, under one of the orders."""
    table = data.ratings
    if order == "history shuffled":
        table = table.assign(timestamp=np.random.default_rng(draw).permutation(len(table)))
    ties = "item" if order == "ties by item id" else "shuffled"
    return tuple(map(data.interactions, splits.leave_last_out(splits.break_ties(table, ties, seed=draw))))


def orders(data: MovieLens, names: list[str]) -> None:
    """Models under other orders of the same ratings, a row a draw; a network has a seed a draw."""
    rows = []
    for order, draws in {"ties shuffled": 5, "ties by item id": 1, "history shuffled": 5}.items():
        for name, draw in product(names or [*COUNTED, *SHOWN], range(5)):
            if draw < (2 if name in NEURAL else draws):
                train, test = ordered(data, order, draw)
                found = measured(made(name, draw).fit(train), train, test)
                rows.append({"model": name, "order": order, "draw": draw, **found})
                print(*rows[-1].values(), flush=True)
    write("ch18_orders", pd.DataFrame(rows), keys=["model", "order", "draw"], keep_others=True)


PARTS = {part.__name__: part for part in (search, models, orders)}


def main(wanted: list[str]) -> None:
    """Run one part, of all models or of some, or all parts."""
    data = movielens()
    for name in wanted[:1] or PARTS:
        PARTS[name](data, wanted[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
