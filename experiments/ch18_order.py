"""Is order real, and what says so? Chapter 18 shows the tables.

    python experiments/ch18_order.py            all parts: about four minutes
    python experiments/ch18_order.py baskets    one part; the other tables stay

All models have the settings that ``ch18_sequences.py`` chose.

- ``histories``: the true last film stays the target, and what came before it is shuffled: all of it, or all but the
film directly before; five draws (``results/ch18_histories.csv``).
- ``time``: models learn from what came before a moment alone, and answer for users who came later: from all
films of a user but her last, this one is the target; networks with three seeds (``results/ch18_time.csv``).
- ``baskets``: what a household of the Complete Journey buys next, of all kinds of product, by how often it bought
a kind, the basket k before the last counting decay**k; decay 1 is plain frequency, 0 stands for popularity. Each
household's last basket is the test, the one before it the validation (``results/ch18_baskets.csv``).
"""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pandas as pd
import torch
from _sequences import COUNTED, made, measured
from _tables import SEEDS, movielens, write
from scipy import sparse

from course_utils.data import Interactions, MovieLens, load_complete_journey, splits
from course_utils.evaluation import metrics
from course_utils.models.base import Recommender, fold_in

LATE = 0.5  # the share of all ratings that comes before the moment
BASKET_DECAYS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 1.0)


def histories(data: MovieLens, names: list[str]) -> None:
    """Models fitted to shuffled histories, a row a draw."""
    past, last = splits.leave_last_out(data.ratings)
    test = data.interactions(last)
    names = names or ["EASE", "EASE, decay", "Markov, last film", "Markov, last five"]
    rows = []
    for kind, draws in {"as they are": 1, "all but the last shuffled": 5, "all shuffled": 5}.items():
        for draw, name in product(range(draws), names):
            table = past
            if draws > 1:
                table = past.assign(timestamp=np.random.default_rng(draw).permutation(len(past)))
            if "but" in kind:
                table.loc[splits.leave_last_out(past)[1].index, "timestamp"] = len(past)  # later than all others
            found = measured(made(name, draw).fit(data.interactions(table)), data.interactions(table), test)
            rows.append({"model": name, "history": kind, "draw": draw, **found})
            print(*rows[-1].values(), flush=True)
    write("ch18_histories", pd.DataFrame(rows), keys=["model", "history", "draw"], keep_others=True)


class Folded:
    """A model that knows nothing of the users but their histories."""

    def __init__(self, model: Recommender, history: Interactions) -> None:
        self.scores = fold_in(model, history)

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Scores of all items."""
        return self.scores[users]


class Counts:
    """How often each item was met, for anybody."""

    def __init__(self, past: Interactions) -> None:
        self.counts = torch.bincount(past.items, minlength=past.n_items).double()

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """The same for all."""
        return self.counts.expand(len(users), -1)


def time(data: MovieLens, names: list[str]) -> None:
    """Models of the past on users of the future, a row a model and seed."""
    ratings, item_ids = data.ratings, data.items.item_id
    moment = ratings.timestamp.quantile(LATE)
    past = Interactions.from_frame(ratings[ratings.timestamp < moment], item_ids=item_ids)
    later = ratings[ratings.groupby("user_id").timestamp.transform("min") >= moment]
    history, last = splits.leave_last_out(later)
    user_ids = np.sort(last.user_id.unique())
    history, test = (Interactions.from_frame(part, user_ids=user_ids, item_ids=item_ids) for part in (history, last))
    rows = []
    for name in names or [*COUNTED, "SASRec", "GRU4Rec"]:
        for seed in (0,) if name in COUNTED else SEEDS:
            model = Counts(past) if name == "popularity" else Folded(made(name, seed).fit(past), history)
            rows.append({"model": name, "seed": seed, **measured(model, history, test)})
            print(*rows[-1].values(), flush=True)
    write("ch18_time", pd.DataFrame(rows), keys=["model", "seed"], keep_others=True)


def baskets(_: MovieLens, names: list[str]) -> None:
    """NDCG, recall and precision at 10 by decay, on the last basket and on the one before it."""
    wanted = {"transactions": ["household_id", "basket_id", "product_id", "transaction_timestamp"]}
    tables = load_complete_journey(wanted | {"products": ["product_id", "product_type"]})
    lines = tables["transactions"].merge(tables["products"].dropna(), on="product_id")
    lines = lines.drop_duplicates(["household_id", "basket_id", "product_type"])
    baskets = lines.drop_duplicates("basket_id").sort_values(["household_id", "transaction_timestamp", "basket_id"])
    ago = baskets.groupby("household_id").cumcount(ascending=False)
    lines["ago"] = lines.basket_id.map(dict(zip(baskets.basket_id, ago, strict=True)))
    lines = lines[lines.household_id.map(ago.groupby(baskets.household_id).max()) >= 2]
    user, item = lines.household_id.factorize()[0], lines.product_type.factorize()[0]
    shape, rows = (user.max() + 1, item.max() + 1), []

    def table(where: np.ndarray, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(sparse.csr_array((values, (user[where], item[where])), shape).toarray())

    for part, place in {"validation": 1, "test": 0}.items():
        now, before = (lines.ago == place).to_numpy(), (lines.ago > place).to_numpy()
        relevant = table(now, np.ones(now.sum(), bool))
        popular = torch.from_numpy(np.bincount(item[before], minlength=shape[1])).double()
        age, found = lines.ago[before].to_numpy() - place - 1.0, {}
        for decay in (0.0, *reversed(BASKET_DECAYS)):
            scores = popular.expand(shape) / popular.sum() / 1e6  # decides what the household never bought
            if decay:
                scores = scores + table(before, decay**age)
            lists = scores.topk(10, dim=1).indices
            found[decay] = metrics.ndcg_at_k(lists, relevant, 10)
            gain = found[decay] - found.get(1.0, found[decay])  # over plain frequency
            row = {"part": part, "decay": decay, "households": shape[0], "ndcg@10": found[decay].mean().item()}
            row |= {"recall@10": metrics.recall_at_k(lists, relevant, 10).mean().item()}
            row |= {"gain": gain.mean().item(), "se": gain.std().item() / shape[0] ** 0.5}
            rows.append(row)
            print(*row.values(), flush=True)
    write("ch18_baskets", pd.DataFrame(rows), keys=["part", "decay"])


PARTS = {part.__name__: part for part in (histories, time, baskets)}


def main(wanted: list[str]) -> None:
    """Run one part, of all models or of some, or all parts."""
    data = movielens()
    for name in wanted[:1] or PARTS:
        PARTS[name](data, wanted[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
