"""What chapter 18's experiments share: the models by name, the settings that the search chose, and what is measured."""

from __future__ import annotations

import pandas as pd
import torch
from _climb import Grids, Setting
from _tables import COMMITTED, RESULTS

from course_utils.data import Interactions
from course_utils.evaluation import measure_lists_per_user, metrics
from course_utils.learning import negatives
from course_utils.models.base import Recommender
from course_utils.models.baselines import Popularity
from course_utils.models.neighbors import EASE, ItemKNN
from course_utils.models.sequential import HSTU, Caser, GRU4Rec, MarkovChain, SASRec

DECAYS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
PENALTIES = (25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0)
SMOOTHINGS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
NEIGHBOURS = (40, 80, 160, 320, 640, 960, 1280, 1600)
NETWORK: Grids = {
    "dropout": (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)
}  # with the classes' own epochs and step size, the same for all
# name -> class, what is fixed, grids, where the search starts
MODELS: dict[str, tuple[type, dict, Grids, Setting]] = {
    "popularity": (Popularity, {}, {}, {}),
    "item kNN": (ItemKNN, {}, {"k": NEIGHBOURS}, {"k": 160}),
    "item kNN, decay": (ItemKNN, {}, {"k": NEIGHBOURS, "decay": DECAYS}, {"k": 640, "decay": 0.8}),
    "EASE": (EASE, {}, {"regularization": PENALTIES}, {"regularization": 400.0}),
    "EASE, decay": (EASE, {}, {"regularization": PENALTIES, "decay": DECAYS}, {"regularization": 400.0, "decay": 0.9}),
    "Markov, last film": (MarkovChain, {"last": 1}, {}, {}),  # smoothing would move no film past another
    "Markov, last five": (
        MarkovChain,
        {"last": 5},
        {"smoothing": SMOOTHINGS, "decay": DECAYS},
        {"smoothing": 10.0, "decay": 0.8},
    ),
    "GRU4Rec": (GRU4Rec, {}, NETWORK, {"dropout": 0.3}),
    "Caser": (Caser, {}, NETWORK, {"dropout": 0.3}),
    "SASRec": (SASRec, {}, NETWORK, {"dropout": 0.3}),
    "HSTU": (HSTU, {}, NETWORK, {"dropout": 0.3}),
}
COUNTED = [name for name, (_, _, grids, _) in MODELS.items() if "dropout" not in grids]
NEURAL = [name for name in MODELS if name not in COUNTED]


def made(name: str, seed: int = 0, **other: object) -> Recommender:
    """A model of that name with the settings of ``results/ch18_search.csv``, before it is fitted."""
    kind, fixed, grids, _ = MODELS[name]
    chosen = {}
    if grids:
        folder = RESULTS if (RESULTS / "ch18_search.csv").exists() else COMMITTED
        tried = pd.read_csv(folder / "ch18_search.csv")
        best = tried[tried.model == name].sort_values("validation", kind="stable").iloc[-1]
        chosen = {each: int(best[each]) if each == "k" else float(best[each]) for each in grids}
    if name in NEURAL:
        chosen["seed"] = seed
    return kind(**fixed | chosen | other)


class Judge:
    """A test film among all films that its user never rated, among 100 of them, and among 100 that are popular."""

    def __init__(self, rated: Interactions, test: Interactions) -> None:
        self.test, self.unrated = test, ~rated.mask()[test.users]
        generator = torch.Generator().manual_seed(0)  # the same for all models
        self.popular = negatives.popularity(rated, test.users, 100, power=1.0, generator=generator)

    def hits(self, model: Recommender) -> dict[str, float]:
        """Hit rates at 10 and 50, expected ones where films are drawn uniformly, and the area under the curve."""
        scores = model.score(self.test.users)
        own = scores.gather(1, self.test.items[:, None])[:, 0]
        rank = metrics.rank_among(own, scores.masked_fill(~self.unrated, -torch.inf))
        n = self.unrated.sum(1)
        found = {"hit_rate@50": (rank <= 50).double(), "auc": 1 - (rank - 1) / n}
        found["among 100 uniform"] = metrics.sampled_hit_rate(rank, n, 100, 10)
        found["among 100 popular"] = (metrics.rank_among(own, scores.gather(1, self.popular)) <= 10).double()
        return {name: values.mean().item() for name, values in found.items()}


def measured(model: Recommender, train: Interactions, test: Interactions, **options: bool) -> dict[str, float]:
    """Hit rate and NDCG at 10, and the standard error of the hit rate over users."""
    table = measure_lists_per_user(model, train, test, **options)
    hits = table["hit_rate@10"]
    return {
        "users": len(hits),
        "hit_rate@10": hits.mean(),
        "ndcg@10": table["ndcg@10"].mean(),
        "se": hits.std() / len(hits) ** 0.5,
    }
