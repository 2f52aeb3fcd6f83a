"""What textbooks say of content-based filtering, measured. Chapter 2 shows ``results/ch02_content_limits.csv``.

Each question holds a hundred films out of MovieLens-100K and asks, for each user, how often a film that she rated
stands above another (AUC over users). Three draws.

- ``users``: only so many of the other users are there. A hundred users are asked.
- ``history``: only so many of the user's own ratings are there.
- ``descriptions``: which parts of a description are there; what if a share of the films carries another film's?
- ``products``: what if the new films come with a vocabulary of their own? (without the background term)
- ``removed``: which model needs descriptions, which needs other users?
- ``domain``: a tenth of the users hide all their ratings of family films, and are asked about those; or about as many
  films drawn at random.
- ``task``: rated against not rated, and 4 or 5 stars against fewer, with and without the weight of having rated.
- ``lists``: how different are the films of one list, by genre, in the common protocol (not an AUC).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from _tables import SEEDS, movielens, write
from scipy import sparse

from course_utils.data import splits
from course_utils.data.features import item_features
from course_utils.evaluation import intra_list_diversity, recommend
from course_utils.models.baselines import Popularity
from course_utils.models.content import ContentBased, auc_per_user, hold_out_items
from course_utils.models.neighbors import EASE, ItemKNN

USERS = (0, 10, 30, 100, 300, 843)
HISTORY = (0, 1, 2, 5, 10, 20, 50)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
PARTS = {
    "title": {"genres": 0, "years": 0},
    "genres": {"years": 0, "titles": 0},
    "year": {"genres": 0, "titles": 0},
    "genres and year": {"titles": 0},
    "all three": {},
}


def models(features) -> dict:
    """The two models that are compared, unfitted."""
    return {"content-based": ContentBased(features), "item kNN": ItemKNN()}


def auc(data, model, train, asked, codes, relevant, others) -> float:
    """Fit, score, measure: mean AUC of the asked users among the films with these codes."""
    scores = model.fit(data.interactions(train)).score(asked)[:, codes]
    return auc_per_user(scores, relevant[asked][:, codes], others[asked][:, codes]).nanmean().item()


def swapped(items: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """The item table in which a share of the films carry the description of another one of them."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(items))[: round(share * len(items))]
    wrong = items.copy()
    wrong.iloc[rows, 1:] = items.iloc[np.roll(rows, 1), 1:].to_numpy()
    return wrong


def _rows(matrix: sparse.csr_array, codes: torch.Tensor, *, keep: bool) -> sparse.csr_array:
    """The matrix with only these rows left, or with all rows but these; the others are 0."""
    chosen = np.isin(np.arange(matrix.shape[0]), codes.numpy()) == keep
    return sparse.diags_array(chosen.astype(float)) @ matrix


def new_films(data, seed: int) -> list[dict]:
    """Users, history, descriptions, products, removed and task: a hundred films, all of their ratings held out."""
    rows, rng = [], np.random.default_rng(seed)
    known, held = hold_out_items(data.ratings, seed=seed)
    held_out = data.interactions(held)
    rated, codes = held_out.mask(), held_out.items.unique()
    everyone = torch.arange(len(data.users))
    order = rng.permutation(data.users.user_id)
    asked, rest = torch.from_numpy(np.sort(data.users.user_id.searchsorted(order[:100]))), order[100:]
    mine = data.ratings.user_id.isin(order[:100])
    features = item_features(data.items)

    def add(question, setting, model, value):
        rows.append({"question": question, "setting": setting, "seed": seed, "model": model, "value": value})

    for n in USERS:  # the asked users give their ratings of known films, the others all of theirs
        train = pd.concat([known[known.user_id.isin(order[:100])], data.ratings[data.ratings.user_id.isin(rest[:n])]])
        for name, model in models(features).items():
            add("users", n, name, auc(data, model, train, asked, codes, rated, ~rated))
            if n in (0, max(USERS)):
                add("removed", "nothing" if n else "other users", name, rows[-1]["value"])
    full = pd.concat([known[known.user_id.isin(order[:100])], data.ratings[~mine]])
    empty = item_features(data.items)._replace(matrix=0 * features.matrix)
    for name, model in models(empty).items():
        add("removed", "descriptions", name, auc(data, model, full, asked, codes, rated, ~rated))
    turn = known.iloc[rng.permutation(len(known))].groupby("user_id").cumcount()
    for n in HISTORY:
        few = known[turn.reindex(known.index) < n]
        value = auc(data, ContentBased(features), few, everyone, codes, rated, ~rated)
        add("history", n, "content-based", value)
    for part, weights in PARTS.items():
        model = ContentBased(item_features(data.items, **weights))
        add("descriptions", part, "content-based", auc(data, model, known, everyone, codes, rated, ~rated))
    for share in SHARES:
        model = ContentBased(item_features(swapped(data.items, share, seed)))
        value = auc(data, model, known, everyone, codes, rated, ~rated)
        add("descriptions", f"{share:.0%} swapped", "content-based", value)
    own = sparse.hstack([_rows(features.matrix, codes, keep=False), _rows(features.matrix, codes, keep=True)])
    for setting, x in (("shared words", features), ("own words", own)):
        model = ContentBased(x, background=False)
        add("products", setting, "content-based", auc(data, model, known, everyone, codes, rated, ~rated))
    liked = data.interactions(held[held.rating >= 4]).mask()
    for weight in (0.0, 3.0):
        for task, positive, others in (("rated", rated, ~rated), ("liked", liked, rated & ~liked)):
            value = auc(data, ContentBased(features, weight), known, everyone, codes, positive, others)
            add("task", task, f"seen_weight {weight:.0f}", value)
    return rows


def other_domain(data, seed: int) -> list[dict]:
    """A tenth of the users is asked about family films, of which none of her ratings is known."""
    rows, rng = [], np.random.default_rng(seed)
    counts = data.ratings.item_id.value_counts().reindex(data.items.item_id).fillna(0)
    known = data.items[(counts >= 50).to_numpy()]
    family = known[known.genres.str.contains("Animation|Children's")].item_id
    asked_ids = rng.permutation(data.users.user_id)[:100]
    asked = torch.from_numpy(np.sort(data.users.user_id.searchsorted(asked_ids)))
    for setting, films in (
        ("family films", family),
        ("as many at random", rng.permutation(known.item_id)[: len(family)]),
    ):
        hidden = data.ratings.user_id.isin(asked_ids) & data.ratings.item_id.isin(films)
        rated = data.interactions(data.ratings[hidden]).mask()
        codes = data.interactions(data.ratings[data.ratings.item_id.isin(films)]).items.unique()
        for name, model in models(item_features(data.items)).items():
            value = auc(data, model, data.ratings[~hidden], asked, codes, rated, ~rated)
            rows.append({"question": "domain", "setting": setting, "seed": seed, "model": name, "value": value})
    return rows


def lists(data, seed: int) -> list[dict]:
    """Mean difference by genre between two films of one list of ten."""
    train = data.interactions(splits.random_split(data.ratings, seed=seed)[0])
    genres = torch.from_numpy(item_features(data.items, years=0, titles=0).matrix.toarray())
    compared = {"content-based": ContentBased(item_features(data.items)), "popularity": Popularity(), "EASE": EASE()}
    rows = []
    for name, model in compared.items():
        shown, _ = recommend(model.fit(train), torch.arange(train.n_users), exclude=train)
        value = intra_list_diversity(shown, genres).mean().item()
        rows.append({"question": "lists", "setting": "genres", "seed": seed, "model": name, "value": value})
    return rows


def main() -> None:
    """Run all of it: about a minute."""
    data, rows = movielens(), []
    for seed in SEEDS:
        rows += new_films(data, seed) + other_domain(data, seed) + lists(data, seed)
    table = pd.DataFrame(rows)
    write("ch02_content_limits", table, keys=["question", "setting", "seed", "model"])
    spread = table.groupby(["question", "setting", "model"], sort=False)["value"].agg(["mean", "std"])
    print(spread.round(4).to_string())


if __name__ == "__main__":
    main()
