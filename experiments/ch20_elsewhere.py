"""Does the order of the league table hold on other data? Groceries and films of another shop (chapter 20).

    python experiments/ch20_elsewhere.py            both data sets
    python experiments/ch20_elsewhere.py journey    this one only; the rows of the other stay

``journey``: the first purchase of a product by a household (The Complete Journey), products that 50 households or more
bought, households with 20 of these or more. ``amazon``: ratings of Amazon "Movies and TV", a sample in which a user has
8 or more and an item 9; its file must lie below ``COURSE_DATA_DIR``, else the committed rows stay. Each pair counts as
relevant, whatever its stars.

The splits are those of ``ch20_nested.py``, by chance and in time, seeds 0, 1 and 2, and so is the nesting: a training
part is split once more in the same way, and the setting with the best NDCG@10 there is fitted on all of it. Only the
search is another: settings of MovieLens need not suit other data, so each model climbs, one parameter after the other,
until its best lies inside its grids (more neighbours than there are change nothing). EASE that forgets keeps the
penalty that EASE found and chooses its decay; a decay of 1 is EASE. The search of a seed begins where the one before
ended. Networks are left out: one fit of Mult-VAE takes minutes on the groceries, a search a hundred times that.
``results/ch20_elsewhere.csv`` has a row a data set, model, split and seed, ``ch20_elsewhere_search.csv`` what was
tried, ``ch20_elsewhere_pairs.csv`` the paired tests over users, each user's NDCG@10 the mean over the seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pandas as pd
from _climb import Grids, Setting, climb
from _tables import COMMITTED, SEEDS, write
from ch20_nested import cut, text

import course_utils
from course_utils.data import Interactions, load_complete_journey
from course_utils.data.lines import load_amazon_movies
from course_utils.errors import DataError
from course_utils.evaluation import all_pairs, measure_lists, measure_lists_per_user
from course_utils.models.als import ImplicitALS
from course_utils.models.base import Recommender
from course_utils.models.baselines import Popularity, RecentPopularity
from course_utils.models.neighbors import EASE, ItemKNN, UserKNN


def doubling(first: float, number: int) -> tuple[float, ...]:
    """A grid in which each value is twice the one before."""
    return tuple(first * 2**step for step in range(number))


# name -> the model by its seed and setting, its grids, where the search starts
MODELS: dict[str, tuple[Callable[..., Recommender], Grids, Setting]] = {
    "popularity": (lambda seed: Popularity(), {}, {}),
    "recent popularity": (lambda seed, **s: RecentPopularity(**s), {"days": doubling(1.25, 16)}, {"days": 80.0}),
    "user kNN": (lambda seed, **s: UserKNN(**s), {"k": doubling(5, 12)}, {"k": 80}),
    "item kNN": (lambda seed, **s: ItemKNN(**s), {"k": doubling(5, 12)}, {"k": 160}),
    "implicit ALS": (
        lambda seed, **s: ImplicitALS(seed=seed, **s),
        {"regularization": doubling(2.5, 10), "alpha": doubling(0.15625, 10), "factors": doubling(4, 9)},
        {"regularization": 40.0, "alpha": 1.25, "factors": 32},
    ),
    "EASE": (lambda seed, **s: EASE(**s), {"regularization": doubling(12.5, 11)}, {"regularization": 400.0}),
}
DECAYS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)


def journey() -> pd.DataFrame:
    """First purchases: ``user_id`` a household, ``item_id`` a product, ``timestamp`` in seconds."""
    columns = ["household_id", "product_id", "transaction_timestamp"]
    bought = load_complete_journey({"transactions": columns})["transactions"]
    bought.columns = ["user_id", "item_id", "timestamp"]
    first = bought.groupby(["user_id", "item_id"], as_index=False)["timestamp"].min()
    first = first.assign(timestamp=first["timestamp"].astype("int64") // 10**9)
    first = first[first.groupby("item_id")["item_id"].transform("size") >= 50]
    return first[first.groupby("user_id")["user_id"].transform("size") >= 20].reset_index(drop=True)


DATA: dict[str, Callable[[], pd.DataFrame]] = {"journey": journey, "amazon": load_amazon_movies}


class Part:
    """Training and test side of one cut, over one catalogue."""

    def __init__(self, parts: tuple[pd.DataFrame, pd.DataFrame], ids: dict[str, list]) -> None:
        self.train, self.test = (Interactions.from_frame(part, **ids) for part in parts)

    def ndcg(self, model: Recommender) -> float:
        """NDCG@10 of a model fitted on the training side."""
        return measure_lists(model.fit(self.train), self.train, self.test)["ndcg@10"]


def found(inner: Part, seed: int, start: dict[str, Setting]) -> Iterator[tuple[str, Setting, list[dict]]]:
    """Each model, the setting that its search ends at, and what was tried; ``start`` keeps the ends for the next."""
    for name, (make, grids, first) in MODELS.items():
        begin = start.get(name, first)
        best, tried = climb(grids, begin, lambda s, make=make: inner.ndcg(make(seed, **s))) if grids else ({}, [])
        start[name] = best
        yield name, best, tried
    penalty = start["EASE"]
    tried = [{"decay": decay, "validation": inner.ndcg(EASE(**penalty, decay=decay))} for decay in DECAYS]
    top = max(tried, key=lambda row: row["validation"])["decay"]
    assert top != DECAYS[0], "a wider grid of decays"
    yield "EASE, decay", penalty | {"decay": top}, tried


def run(name: str, ratings: pd.DataFrame) -> tuple[list[dict], list[dict], list[pd.DataFrame]]:
    """Rows of the test parts, what was tried, and the tests of all pairs of models, for one data set."""
    ids = {f"{kind}_ids": sorted(ratings[f"{kind}_id"].unique()) for kind in ("user", "item")}
    rows, searched, pairs = [], [], []
    for split in ("random", "temporal"):
        start: dict[str, Setting] = {}
        users: dict[str, list[pd.Series]] = {}
        for seed in SEEDS:
            train, test = cut(ratings, split, seed)
            inner, outer = Part(cut(train, split, seed, inner=True), ids), Part((train, test), ids)
            for model, setting, tried in found(inner, seed, start):
                key = {"data": name, "model": model, "split": split, "seed": seed}
                searched += [
                    {**key, "setting": text({k: v for k, v in row.items() if k != "validation"})}
                    | {"validation": row["validation"]}
                    for row in tried
                ]
                make = MODELS[model][0] if model in MODELS else lambda seed, **s: EASE(**s)
                fitted = make(seed, **setting).fit(outer.train)
                values = measure_lists(fitted, outer.train, outer.test)
                users.setdefault(model, []).append(measure_lists_per_user(fitted, outer.train, outer.test)["ndcg@10"])
                rows.append({**key, "setting": text(setting), **values[[at for at in values.index if "@10" in at]]})
                print(*key.values(), text(setting), f"{values['ndcg@10']:.4f}", flush=True)
        means = pd.DataFrame({model: pd.concat(each, axis=1).mean(axis=1) for model, each in users.items()})
        pairs.append(all_pairs(means).assign(data=name, split=split))
    return rows, searched, pairs


def main(wanted: list[str]) -> None:
    """Run the wanted data sets, both when none is named."""
    if unknown := set(wanted) - set(DATA):
        raise SystemExit(f"unknown data {sorted(unknown)}; there are {list(DATA)}")
    course_utils.setup(threads=1)
    kinds = {"": ["data", "model", "split", "seed"], "_pairs": ["data", "split", "a", "b"]}
    kinds["_search"] = [*kinds[""], "setting"]
    for name in wanted or DATA:
        try:
            rows, searched, pairs = run(name, DATA[name]())
            made = {"": pd.DataFrame(rows), "_pairs": pd.concat(pairs), "_search": pd.DataFrame(searched)}
        except DataError as error:
            print(f"{name}: the committed rows stay ({error})")
            made = {kind: pd.read_csv(COMMITTED / f"ch20_elsewhere{kind}.csv") for kind in kinds}
            made = {kind: table[table["data"] == name] for kind, table in made.items()}
        for kind, keys in kinds.items():
            table = made[kind]
            write(f"ch20_elsewhere{kind}", table[[*keys, *table.columns.drop(keys)]], keys=keys, keep_others=True)


if __name__ == "__main__":
    main(sys.argv[1:])
