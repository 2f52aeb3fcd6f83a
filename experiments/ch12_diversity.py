"""What diversity costs, in training and by re-ranking. Chapter 12 shows ``results/ch12_diversity.csv``.

    python experiments/ch12_diversity.py                     everything
    python experiments/ch12_diversity.py spread dpp          these methods only; the other rows stay
    python experiments/ch12_diversity.py validation chosen   these parts only; the other rows stay

One row a part, base model, method, setting and seed, on ``random_split`` seeds 0, 1, 2, every rating positive. ``part``
is ``grid`` (the whole sweep, measured on the test part), ``validation`` (the same sweep inside the training part of
seed 0: a random fifth of it held out), or ``chosen`` (on the test part: the setting at which the curve of the
validation part crosses 3 % less NDCG, by straight lines between its settings).

``setting`` is the weight of a term in the loss (methods ``variance``, ``exposure``, ``popularity``), the trade-off of a
re-ranker (``mmr``, ``dpp``, ``calibrated``), the weight of log popularity (``discount``) or the bonus of a film that
nobody got yet (``spread``). The base models themselves are the method ``none``. ``unsquared`` is ``popularity``
without the square, at three weights on the validation part.

Columns: the measures of the lists of ten; the change of NDCG and of Gini against the base model of that seed, in
percent, for NDCG with a 95 % interval from resampled users (Gini has none: a user drawn twice looks like
concentration); and for the terms in the loss, what they do to the scores.

What is not in the grids was chosen on a random fifth of the training part of seed 0: the embedding model's step
size, penalty, epochs and weight of a click, and the temperature of the exposure term.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
import torch
from _tables import RESULTS, SEEDS, movielens, write
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils import ranking
from course_utils.data import Interactions, MovieLens, splits
from course_utils.data.features import item_features
from course_utils.evaluation import beyond_accuracy, metrics
from course_utils.learning import loop, regularizers
from course_utils.models.als import ImplicitALS
from course_utils.models.embedding_mf import MatrixFactorization

K, SHORTLIST, TEMPERATURE, CLICK = 10, 100, 0.5, 5.0
GRID = {
    "variance": (0.01, 0.1, 1.0, 10.0),
    "exposure": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    "popularity": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    "mmr": (0.9, 0.8, 0.7, 0.5, 0.3),
    "dpp": (0.95, 0.9, 0.8, 0.7, 0.5),
    "calibrated": (0.9, 0.7, 0.5, 0.3, 0.1),
    "discount": (0.1, 0.2, 0.3, 0.5, 0.8),
    "spread": (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2),
}
WEIGHTS = ("variance", "exposure", "popularity", "unsquared")  # between them the curve is straight in the logarithm
TRADE_OFFS = ("mmr", "dpp", "calibrated")  # 1 is pure relevance
BUDGET = -3.0  # percent of NDCG
PARTS, BASES = ["grid", "validation", "chosen"], ["MF", "implicit ALS"]
Term = Callable[[torch.Tensor], torch.Tensor]


class World:
    """One split and what is known about its films and users; ``inside`` splits the training part once more."""

    def __init__(self, data: MovieLens, seed: int, *, inside: bool = False) -> None:
        self.seed = seed
        past, future = splits.random_split(data.ratings, seed=seed)
        parts = splits.random_split(past, seed=seed) if inside else (past, future)
        self.train, self.test = map(data.interactions, parts)
        self.seen, self.relevant = self.train.mask(), self.test.mask()
        self.popularity = torch.bincount(self.train.items, minlength=self.train.n_items) + 1.0
        self.share = (self.popularity - 1).clamp(min=1) / self.train.n_users
        features = item_features(data.items, titles=0).matrix.toarray()
        self.features = torch.from_numpy(features)
        self.similarity = self.features @ self.features.T
        dummies = data.items.genres.str.get_dummies("|").drop(columns="", errors="ignore")
        genres = torch.tensor(dummies.to_numpy(), dtype=torch.float64)
        self.genres = genres / genres.sum(dim=1, keepdim=True).clamp(min=1)
        history = self.seen.double() @ self.genres
        self.history = history / history.sum(dim=1, keepdim=True)

    def measures(self, lists: torch.Tensor) -> dict[str, float]:
        """Means over users, and what concerns all lists together."""
        n_items = self.train.n_items
        return {
            "ndcg@10": self.ndcg(lists).nanmean().item(),
            "gini@10": beyond_accuracy.gini(lists, n_items),
            "coverage@10": beyond_accuracy.catalog_coverage(lists, n_items),
            "novelty@10": beyond_accuracy.novelty(lists, self.share).mean().item(),
            "diversity@10": beyond_accuracy.intra_list_diversity(lists, self.features).mean().item(),
            "calibration@10": beyond_accuracy.calibration_kl(lists, self.genres, self.history).mean().item(),
        }

    def fit_of(self, scores: torch.Tensor) -> dict[str, float]:
        """What a term does to the scores themselves: their variance, and the cross entropy of the training cells."""
        clicks, weight = self.seen.double(), torch.tensor(CLICK)
        return {
            "score variance": regularizers.score_variance(scores).item(),
            "training bce": binary_cross_entropy_with_logits(scores, clicks, pos_weight=weight).item(),
        }

    def ndcg(self, lists: torch.Tensor) -> torch.Tensor:
        """NDCG@10 of each user."""
        return metrics.ndcg_at_k(lists, self.relevant, K)

    def changes(self, lists: torch.Tensor, base: torch.Tensor) -> dict[str, float]:
        """Change of NDCG and Gini against the base lists in percent; for NDCG 95 % of resampled users lie between."""
        pair = torch.stack([self.ndcg(lists), self.ndcg(base)], dim=1)
        pair = pair[~pair.isnan().any(dim=1)]
        rng = np.random.default_rng(0)
        drawn = pair[torch.from_numpy(rng.integers(0, len(pair), (2000, len(pair))))].mean(dim=1)
        low, high = np.quantile(100 * (drawn[:, 0] / drawn[:, 1] - 1).numpy(), [0.025, 0.975])
        mean = pair.mean(dim=0)
        gini = [beyond_accuracy.gini(x, self.train.n_items) for x in (lists, base)]
        return {
            "ndcg change": 100 * (mean[0] / mean[1] - 1).item(),
            "ndcg low": low,
            "ndcg high": high,
            "gini change": 100 * (gini[0] / gini[1] - 1),
        }


def fit_clicks(past: Interactions, seed: int, term: Term | None = None, weight: float = 0.0) -> torch.Tensor:
    """Scores of an embedding model trained on all cells by cross entropy, with a weighted term of its scores.

    A batch is a fifth of the users, so the term sees each film's scores for all of them. A click counts five times.
    """
    seen = past.mask()
    model = MatrixFactorization(past.n_users, past.n_items, std=0.1, mean=-2.7, seed=seed)

    def loss(module: MatrixFactorization, batch: loop.Batch) -> dict[str, torch.Tensor]:
        (users,) = batch
        scores = module.user_factors(users) @ module.item_factors.weight.T
        scores = scores + module.mean + module.user_biases(users) + module.item_biases.weight[:, 0]
        clicks = seen[users].to(scores.dtype)
        size = module.user_factors(users).square().sum(1).mean() + module.item_factors.weight.square().sum(1).mean()
        terms = {
            "bce": binary_cross_entropy_with_logits(scores, clicks, pos_weight=torch.tensor(CLICK)),
            "penalty": 0.01 * size,
        }
        if term is not None:
            terms["diversity"] = weight * term(scores.masked_fill(seen[users], -torch.inf))
        return terms

    generator = torch.Generator().manual_seed(seed)
    batches = loop.batches(torch.arange(past.n_users), batch_size=189, generator=generator)
    loop.fit(model, batches, loss, epochs=40, lr=0.1, decay=True)
    return model.score(torch.arange(past.n_users))


Grid = dict[str, tuple[float, ...]]


def training(world: World, grid: Grid) -> Iterator[tuple[str, float, torch.Tensor]]:
    """Scores of models that carry a term in their loss."""
    terms: dict[str, Term] = {
        "variance": regularizers.score_variance,
        "exposure": partial(regularizers.exposure_concentration, temperature=TEMPERATURE),
        "popularity": lambda s: regularizers.popularity_correlation(s, world.popularity).square(),
        "unsquared": lambda s: regularizers.popularity_correlation(s, world.popularity),
    }
    for name in (name for name in terms if name in grid):
        for weight in grid[name]:
            yield name, weight, fit_clicks(world.train, world.seed, terms[name], weight)


def top(world: World, scores: torch.Tensor) -> torch.Tensor:
    """The ten best films that a user has not seen."""
    return ranking.top_k(scores.masked_fill(world.seen, -torch.inf), K)


def reranked(
    world: World, scores: torch.Tensor, chance: torch.Tensor, grid: Grid
) -> Iterator[tuple[str, float, torch.Tensor]]:
    """Lists of the same scores, re-ranked; ``chance`` is the same on the scale of a probability."""
    items, unit = ranking.shortlist(scores.masked_fill(world.seen, -torch.inf), SHORTLIST)
    alike = world.similarity[items[:, :, None], items[:, None, :]]
    kinds = world.genres[items]
    rerankers = {
        "mmr": lambda t: items.gather(1, ranking.mmr(unit, alike, K, t)),
        "dpp": lambda t: items.gather(1, ranking.dpp(unit, alike, K, t)),
        "calibrated": lambda t: items.gather(1, ranking.calibrated(unit, kinds, world.history, K, t)),
        "discount": lambda t: top(world, chance.log() - t * world.popularity.log()),
        "spread": lambda t: spread(world, chance, t),
    }
    for name in (name for name in rerankers if name in grid):
        for setting in grid[name]:
            yield name, setting, rerankers[name](setting)


def spread(world: World, chance: torch.Tensor, bonus: float) -> torch.Tensor:
    """Spread the films over the users, those with short histories first; 1 is the mean chance of a user's ten best."""
    chance = chance.masked_fill(world.seen, -torch.inf)
    value = chance / chance.topk(K, dim=1).values.mean(dim=1, keepdim=True)
    order = world.seen.sum(dim=1).argsort(stable=True)
    lists = torch.empty(len(value), K, dtype=torch.long)
    lists[order] = ranking.spread(value[order], K, bonus)
    return lists


def at_budget(settings: list[float], changes: list[float], *, start: float, logs: bool) -> float:
    """The setting, to three digits, at which a curve first reaches the budget; at ``start`` it is the base model."""
    for at, (one, two) in enumerate(zip([0.0, *changes], changes, strict=False)):
        if two <= BUDGET:
            part, right = (BUDGET - one) / (two - one), settings[at]
            left = settings[at - 1] if at else start
            found = left * (right / left) ** part if logs and at else left + part * (right - left)
            return float(f"{found:.3g}")
    raise ValueError(f"the grid ends before the budget: {changes}")


def sweep(world: World, grids: dict[str, dict[str, Grid]]) -> Iterator[dict]:
    """Rows of one split: for each base model and part, the methods and settings of its grid."""
    clicks = fit_clicks(world.train, world.seed)
    als = ImplicitALS(seed=world.seed).fit(world.train).score(torch.arange(world.train.n_users))
    chances = {"MF": (clicks, torch.sigmoid(clicks - np.log(CLICK))), "implicit ALS": (als, als.clamp(min=1e-6))}
    for base, (scores, chance) in chances.items():
        plain = top(world, scores)
        for part, grid in grids[base].items():
            found = [("none", 0.0, plain, world.fit_of(scores) if base == "MF" else {})] if "none" in grid else []
            found += [(*one, {}) for one in reranked(world, scores, chance, grid)]
            if base == "MF":
                found += [(name, w, top(world, s), world.fit_of(s)) for name, w, s in training(world, grid)]
            for method, setting, lists, fit in found:
                row = {"part": part, "base": base, "method": method, "setting": setting, "seed": world.seed}
                row |= world.measures(lists) | world.changes(lists, plain) | fit
                print(*row.values(), flush=True)
                yield row


def settings_at_budget(curves: pd.DataFrame) -> dict[str, dict[str, Grid]]:
    """The chosen setting of each method, by base model, from the rows of the validation part."""
    grids: dict[str, dict[str, Grid]] = {base: {"chosen": {}} for base in BASES}
    curves = curves[(curves.part == "validation") & ~curves.method.isin(["none", "unsquared"])]
    for (base, method), curve in curves.groupby(["base", "method"], sort=False):
        curve = curve.sort_values("setting", ascending=method not in TRADE_OFFS)  # from the cheapest on
        settings, changes = curve["setting"].tolist(), curve["ndcg change"].tolist()
        start = 1.0 if method in TRADE_OFFS else 0.0  # pure relevance; no term, no bonus
        setting = at_budget(settings, changes, start=start, logs=method in WEIGHTS)
        grids[base]["chosen"][method] = (setting,)
    return grids


def main(wanted: list[str]) -> None:
    """The named methods or parts, or everything: about ten minutes."""
    data, path = movielens(), RESULTS / "ch12_diversity.csv"
    parts = [part for part in PARTS if part in wanted] or PARTS
    grid = {"none": (0.0,)} | GRID
    methods = [name for name in grid if name in wanted] or list(grid)
    whole = {name: settings for name, settings in grid.items() if name in methods}
    inside = whole | ({"unsquared": (0.1, 0.3, 1.0)} if "popularity" in whole else {})
    rows: list[dict] = []
    if "validation" in parts:
        rows += sweep(World(data, 0, inside=True), {base: {"validation": inside} for base in BASES})
    curves = pd.DataFrame(rows) if rows else pd.read_csv(path)
    grids = settings_at_budget(curves) if "chosen" in parts else {base: {} for base in BASES}
    for base in BASES:
        grids[base] |= {"grid": whole} if "grid" in parts else {}
    for seed in SEEDS if any(grids.values()) else ():
        rows += sweep(World(data, seed), grids)
    table, keys = pd.DataFrame(rows), ["part", "base", "method", "setting", "seed"]
    if wanted and path.exists():
        old = pd.read_csv(path)
        again = pd.MultiIndex.from_frame(old[["part", "method"]]).isin(list(zip(table.part, table.method, strict=True)))
        table = pd.concat([old[~again], table])
    order = {name: place for place, name in enumerate([*PARTS, "none", *GRID, "unsquared", *BASES])}
    table = table.sort_values(keys, key=lambda column: column.map(order) if column.name in keys[:3] else column)
    write("ch12_diversity", table[[*keys, *(name for name in table if name not in keys)]], keys=keys)


if __name__ == "__main__":
    main(sys.argv[1:])
