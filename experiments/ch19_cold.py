"""Films that nobody rated: who can recommend them? Chapter 19 shows ``results/ch19_cold.csv``.

A tenth of the films, drawn at random, is held out of training altogether. The test film of a user is the last of those
films that the user rated; training has what the user rated before it, and of the other users all ratings of the other
films. Ranked are the held-out films among themselves, and all films; films that the user rated before the test film
are left out. Three draws. On a fourth draw are chosen the weight of older films in content kNN
(``results/ch19_cold_search.csv``) and levels and tokens of the codes (``results/ch19_cold_codes.csv``), each with the
epochs that ``results/ch19_search.csv`` has as best for them. SASRec has the settings of chapter 18.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from _codes import SHAPES, quantized
from _sequences import made as sequence_model
from _tables import COMMITTED, RESULTS, SEEDS, movielens, write
from sklearn.preprocessing import normalize

from course_utils.data import Interactions, MovieLens
from course_utils.data.features import item_features
from course_utils.evaluation import metrics
from course_utils.models.base import Recommender
from course_utils.models.content import ContentBased
from course_utils.models.next_code import NextCode

DECAYS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)


def epochs_of(shape: tuple[int, int]) -> int:
    """The epochs that the search has as best for content codes of these levels and tokens."""
    folder = RESULTS if (RESULTS / "ch19_search.csv").exists() else COMMITTED
    tried = pd.read_csv(folder / "ch19_search.csv").set_index(["codes", "levels", "tokens"]).sort_index()
    own = tried.loc[("content", *shape)].set_index("epochs")["validation"]
    return int(own.idxmax())


class ContentKNN:
    """The sum of a film's cosines with the user's films, older ones weighing less."""

    def __init__(self, features: np.ndarray, decay: float) -> None:
        self.features, self.decay = normalize(features), decay

    def fit(self, interactions: Interactions) -> ContentKNN:
        """Profiles."""
        self.profiles = interactions.csr(binary=True, decay=self.decay) @ self.features
        return self

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Sums of cosines, ``(len(users), n_items)``."""
        return torch.tensor(np.asarray((self.profiles[users.numpy()] @ self.features.T).todense()))


def held_out(data: MovieLens, seed: int) -> tuple[Interactions, Interactions, torch.Tensor, torch.Tensor]:
    """Training part, test films, the held-out films ``(n_films,)``, and what each user may not get, a row a user."""
    films = data.items.item_id.to_numpy()
    cold = np.random.default_rng(seed).permutation(len(films))[: len(films) // 10]
    table = data.ratings.assign(row=range(len(data.ratings))).sort_values(["timestamp", "row"])
    table["cold"], table["turn"] = table.item_id.isin(films[cold]), table.groupby("user_id").cumcount()
    end = table.user_id.map(table[table.cold].groupby("user_id").turn.max())
    before = ~(table.turn >= end)  # of users without such a film all
    train, test = table[before & ~table.cold], table[table.turn == end]
    test = test[test.user_id.isin(train.user_id)]
    is_cold = torch.zeros(len(films), dtype=torch.bool)
    is_cold[cold] = True
    drop = ["row", "cold", "turn"]
    known = data.interactions(table[before].drop(columns=drop)).mask()
    return data.interactions(train.drop(columns=drop)), data.interactions(test.drop(columns=drop)), is_cold, known


def hits(model: Recommender, test: Interactions, cold: torch.Tensor, known: torch.Tensor) -> dict[str, float]:
    """Hit rates at 10 among held-out films and among all, and the share of held-out films in the lists of all."""
    scores = model.score(test.users).masked_fill(known[test.users], -torch.inf)
    own = scores.gather(1, test.items[:, None])[:, 0]
    others = scores.scatter(1, test.items[:, None], -torch.inf)
    found = {"users": len(own)}
    found["among cold"] = (metrics.rank_among(own, others.masked_fill(~cold, -torch.inf)) <= 10).double().mean().item()
    found["among all"] = (metrics.rank_among(own, others) <= 10).double().mean().item()
    found["cold in lists"] = cold[scores.topk(10).indices].double().mean().item()
    return found


def main() -> None:
    """Run all of it."""
    data = movielens()
    features = item_features(data.items).matrix

    def coded(shape: tuple[int, int], train: Interactions, seed: int) -> NextCode:
        codes = quantized("content", "k-means", shape, data, train, seed).codes
        return NextCode(codes, epochs=epochs_of(shape), seed=seed).fit(train)

    train, test, cold, known = held_out(data, seed=99)
    shapes = []
    for shape in SHAPES:
        found = hits(coded(shape, train, 0), test, cold, known)
        shapes.append(dict(zip(("levels", "tokens"), shape, strict=True)) | found)
        print(*shapes[-1].values(), flush=True)
    shapes = pd.DataFrame(shapes)
    write("ch19_cold_codes", shapes, keys=["levels", "tokens"])
    best = SHAPES[shapes["among cold"].round(4).idxmax()]
    tried = [{"decay": d, **hits(ContentKNN(features, d).fit(train), test, cold, known)} for d in DECAYS]
    tried = pd.DataFrame(tried)
    write("ch19_cold_search", tried, keys=["decay"])
    decay = tried.decay[tried["among cold"].round(4).idxmax()]
    rows = []
    for seed in SEEDS:
        train, test, cold, known = held_out(data, seed)
        chance = (10 / (cold.sum() - known[test.users][:, cold].sum(1))).clamp(max=1).mean().item()
        rows.append({"model": "at random", "draw": seed, "users": len(test), "among cold": chance})
        compared = {
            "content kNN": ContentKNN(features, decay),
            "content-based": ContentBased(features),
            "SASRec, ids": sequence_model("SASRec", seed),
        }
        fitted = {name: model.fit(train) for name, model in compared.items()} | {
            "content codes": coded(best, train, seed)
        }
        for name, model in fitted.items():
            rows.append({"model": name, "draw": seed, **hits(model, test, cold, known)})
            print(*rows[-1].values(), flush=True)
    write("ch19_cold", pd.DataFrame(rows), keys=["model", "draw"])


if __name__ == "__main__":
    main()
