"""What comes next? Models that read order against models that do not. Chapter 18 shows the tables.

    python experiments/ch18_sequences.py                   all parts: about a quarter of an hour
    python experiments/ch18_sequences.py search SASRec     the search of one model; the other rows stay
    python experiments/ch18_sequences.py orders            one part, of all models or of some

The test film is the last one of each user; all films that the user has not rated in training are ranked.

- ``search``: each model's settings on the film before the last, with neither of the two in training, by NDCG@10
(``results/ch18_search.csv``). The budget of networks is small and the same for all: four epochs with a step size of
0.004; their dropout is searched. The best setting is at no edge of its grid.
- ``models``: all but HSTU in file order, networks with three seeds; the test film among all unseen films,
among 100 drawn uniformly (in closed form) and among 100 drawn by popularity (``results/ch18_models.csv``). And each
user's hits, means over the seeds, beside the seconds between the test film and the one before it
(``results/ch18_users.csv``).
- ``orders``: models that count, with the same settings, with the ties of one second shuffled, by item id, and with each
user's whole history shuffled; five draws of an order (``results/ch18_orders.csv``).
- ``others``: HSTU in file order, three seeds (``results/ch18_others.csv``).
"""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pandas as pd
from _climb import Setting, climb
from _sequences import COUNTED, MODELS, NEURAL, Judge, made, measured
from _tables import RESULTS, SEEDS, movielens, write

from course_utils.data import Interactions, MovieLens, splits
from course_utils.evaluation import measure_lists, measure_lists_per_user

MAIN, OTHERS = [*COUNTED, "SASRec", "GRU4Rec"], ["HSTU"]
SETTINGS = ["dropout", "k", "regularization", "smoothing", "decay"]


def search(data: MovieLens, names: list[str]) -> None:
    """Climb from a start to the best setting of each model."""
    past, last = splits.leave_last_out(splits.leave_last_out(data.ratings)[0])
    part, valid = data.interactions(past), data.interactions(last)
    for name in names or [*MAIN, *OTHERS]:
        kind, fixed, grids, start = MODELS[name]
        if not grids:
            continue

        def value(setting: Setting, name=name, kind=kind, fixed=fixed) -> float:
            found = round(measure_lists(kind(**fixed, **setting).fit(part), part, valid)["ndcg@10"], 4)
            print(name, *setting.values(), found, flush=True)
            return found

        tried = pd.DataFrame(climb(grids, start, value)[1]).assign(model=name)
        tried = tried.reindex(columns=["model", *SETTINGS, "validation"])
        write("ch18_search", tried.astype({"k": "Int64"}), keys=["model", *SETTINGS], keep_others=True)


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
    for name in names or MAIN:
        hits = []
        for seed in SEEDS if name in NEURAL else (0,):
            model = made(name, seed).fit(train)
            rows.append({"model": name, "seed": seed, **measured(model, train, test), **judge.hits(model)})
            hits.append(measure_lists_per_user(model, train, test)["hit_rate@10"])
            print(*rows[-1].values(), flush=True)
        users[name] = np.mean([each[users.user_id] for each in hits], axis=0)
    write("ch18_models", pd.DataFrame(rows), keys=["model", "seed"], keep_others=True)
    write("ch18_users", users[["user_id", "gap", *(name for name in MODELS if name in users)]], keys=["user_id"])


def ordered(data: MovieLens, order: str, draw: int) -> tuple[Interactions, Interactions]:
    """Training and test part, the last film of each user, under one of the orders."""
    table = data.ratings
    if order == "history shuffled":
        table = table.assign(timestamp=np.random.default_rng(draw).permutation(len(table)))
    ties = {"file": "row", "ties by item id": "item"}.get(order, "shuffled")
    return tuple(map(data.interactions, splits.leave_last_out(splits.break_ties(table, ties, seed=draw))))


def orders(data: MovieLens, names: list[str]) -> None:
    """Counted models under other orders of the same ratings, a row a draw."""
    rows = []
    for order, draws in {"ties shuffled": 5, "ties by item id": 1, "history shuffled": 5}.items():
        for draw in range(draws):
            train, test = ordered(data, order, draw)
            for name in names or COUNTED:
                found = measured(made(name).fit(train), train, test)
                rows.append({"model": name, "order": order, "draw": draw, **found})
                print(*rows[-1].values(), flush=True)
    write("ch18_orders", pd.DataFrame(rows), keys=["model", "order", "draw"], keep_others=True)


def others(data: MovieLens, names: list[str]) -> None:
    """One more network in file order, a row a seed."""
    train, test = ordered(data, "file", 0)
    rows = []
    for name, seed in product(names or OTHERS, SEEDS):
        rows.append(
            {"model": name, "order": "file", "seed": seed, **measured(made(name, seed).fit(train), train, test)}
        )
        print(*rows[-1].values(), flush=True)
    write("ch18_others", pd.DataFrame(rows), keys=["model", "order", "seed"], keep_others=True)


PARTS = {part.__name__: part for part in (search, models, orders, others)}


def main(wanted: list[str]) -> None:
    """Run one part, of all models or of some, or all parts."""
    data = movielens()
    for name in wanted[:1] or PARTS:
        PARTS[name](data, wanted[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
