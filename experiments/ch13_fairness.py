"""What fairness terms do to groups of users and of items. Chapter 13 shows ``results/ch13_fairness.csv``.

One row a number: ``experiment``, ``setting``, ``weight``, ``diversity`` (its weight), ``seed``, ``measure``, ``value``.
Rows of seed ``all`` pool the folds or seeds; ``low`` and ``high`` are the ends of their 95 % bootstrap interval over
users. All models come from one loop, ``combined``: main loss, penalty, diversity, fairness.

- ``ratings``: MovieLens, squared error, test pairs of folds 0, 1, 2 of ``k_fold(seed=0)``. Settings: whose groups, and
  the term; one of them with diversity too. Measures end in 0 or 1 for the group; ``change`` compares with the model
  without terms; ``gini@10`` is of the lists of the highest predictions.
- ``whole``: two of these settings with the whole training part as one batch, a hundred steps.
- ``plain``: the model without terms. ``value`` is its value gap, ``value by chance`` that with the groups shuffled
  among the ratings of each item, mean of 20 times (setting ``gender``). Then a constant is added to all predictions
  of each group, so that the training part's means are equal; ``change`` is what that does (settings: age, gender,
  and each occupation against all others).
- ``clicks``: BCE with negatives, ``random_split`` seeds 0, 1, 2. ``journey`` is Complete Journey: households with
  demographics, products that 80 of them bought or more; ``films`` is MovieLens. ``share 1`` is the share of
  exposure@10 that store brands get, or films outside the most rated tenth; ``deserved 1`` their share of training.
- ``rerank``: the same, the model without terms, ``weight`` added to the scores of that group of items.
- ``activity``: the same, the model without terms. ``gap`` is NDCG@10 of the second group minus that of the first,
  ``within fifths`` the same among users who are about as active.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from _tables import SEEDS, movielens, write
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from course_utils import ranking
from course_utils.data import Interactions, MovieLens, load_complete_journey, splits
from course_utils.evaluation import bootstrap_interval, fairness, gini, measure_lists_per_user, metrics, recommend
from course_utils.learning import loop, negatives, regularizers
from course_utils.learning.regularizers import FairnessTerm
from course_utils.models.embedding_mf import MatrixFactorization

Terms = dict[str, tuple[float, Callable[..., torch.Tensor]]]
NEGATIVES, USERS, TEMPERATURE = 4, 64, 0.2
DIVERSITY = 0.03  # its weight beside squared error
RATINGS = [  # whose groups, which term, its weight, weight of diversity
    *((name, "none", 0, 0) for name in ("age", "gender", "healthcare")),
    *(("age", "demographic_parity", weight, 0) for weight in (1, 10, 100)),
    ("gender", "error_parity", 3, 0),
    ("gender", "value", 1, 0),
    *(("healthcare", "demographic_parity", weight, 0) for weight in (1, 10)),
    *(("age", "none", 0, DIVERSITY), ("age", "demographic_parity", 10, DIVERSITY)),
]
KINDS = ("value", "absolute", "under", "over")


def combined(rows: Callable, loss: Callable, penalty: float, terms: Terms) -> loop.Loss:
    """Main loss plus penalty plus weighted terms of a batch: ratings with MSE, clicks with BCE."""

    def objective(module: MatrixFactorization, batch: loop.Batch) -> dict[str, torch.Tensor]:
        users, items, actual = rows(batch)
        predicted = module(users, items)
        parts = {"main": loss(predicted, actual), "penalty": penalty * module.penalty(users, items)}
        for name, (weight, term) in terms.items():
            parts[name] = weight * term(module, predicted, actual, users, items)
        return parts

    return objective


def fit(
    past: Interactions, seed: int, terms: Terms, *, clicks: bool, epochs: int, whole: bool = False
) -> MatrixFactorization:
    """The model of chapter 6 and its loop, with more terms in the loss; ``whole`` makes one batch of everything."""
    generator = torch.Generator().manual_seed(seed)
    columns = past.users, past.items, past.ratings
    batches = loop.batches(*columns, batch_size=len(past) if whole else 1024, generator=generator)

    def with_negatives(batch: loop.Batch) -> loop.Batch:
        unseen = negatives.uniform(past, batch[0], NEGATIVES, generator=generator)
        clicked = torch.zeros(len(unseen), 1 + NEGATIVES)
        clicked[:, 0] = 1.0
        return batch[0][:, None], torch.cat([batch[1][:, None], unseen], dim=1), clicked

    if clicks:
        objective = combined(with_negatives, binary_cross_entropy_with_logits, 0.006, terms)
        start = -math.log(NEGATIVES)
    else:
        objective, start = combined(lambda batch: batch, mse_loss, 0.11, terms), float(past.ratings.mean())
    module = MatrixFactorization(past.n_users, past.n_items, mean=start, seed=seed)
    loop.fit(module, batches, objective, epochs=epochs, lr=0.05 if whole else 0.01, decay=True)
    return module


def candidates(module: MatrixFactorization, users: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Scores of all unseen items for the first users of a batch, with gradient, ``(n, n_items)``."""
    who = users.flatten()[:USERS].unique()
    scores = module.user_factors(who) @ module.item_factors.weight.T + module.item_biases.weight[:, 0]
    return scores.masked_fill(seen[who], -torch.inf)  # user biases and mean change no softmax


def concentration(past: Interactions) -> Callable[..., torch.Tensor]:
    """The diversity term of chapter 12: how concentrated the soft exposure of unseen items is."""
    seen = past.mask()
    return lambda module, predicted, actual, users, items: regularizers.exposure_concentration(
        candidates(module, users, seen), temperature=TEMPERATURE
    )


# ---- ratings ---------------------------------------------------------------------------------------------------


def groups_of(data: MovieLens) -> dict[str, torch.Tensor]:
    """The group of each user: age, gender, and each occupation against all others."""
    columns = {
        "age": data.users["age"] >= 35,
        "gender": data.users["gender"] == "F",
        **{name: data.users["occupation"] == name for name in sorted(data.users["occupation"].unique())},
    }
    return {name: torch.tensor(column.to_numpy()).long() for name, column in columns.items()}


def folds_of(data: MovieLens) -> list[tuple[Interactions, Interactions]]:
    """Training and test part of the first three folds."""
    return [tuple(map(data.interactions, parts)) for parts in splits.k_fold(data.ratings, seed=0)][: len(SEEDS)]


def ratings(data: MovieLens, plans: list = RATINGS, *, whole: bool = False) -> Iterator[dict]:
    """Gaps of score and of error between groups of users, MovieLens, squared error."""
    groups, folds = groups_of(data), folds_of(data)
    fitted, before = {}, {}
    for name, term, weight, diversity in plans:
        pooled = []
        for fold, (past, test) in zip(SEEDS, folds, strict=True):
            user_term = FairnessTerm("demographic_parity" if term == "none" else term, groups[name])
            terms = {"diversity": (diversity, concentration(past))} if diversity else {}
            if weight:
                terms["fairness"] = (weight, lambda module, *batch, term=user_term: term(*batch))
            key = (fold, diversity) if term == "none" else None
            epochs = 100 if whole else 15
            module = fitted.get(key) or fit(past, fold, terms, clicks=False, epochs=epochs, whole=whole)
            if key:
                fitted[key] = module
            place = {"experiment": "whole" if whole else "ratings", "setting": f"{name}: {term}", "weight": weight}
            place["diversity"] = diversity
            for part, side in (("", test), ("train ", past)):
                for measure, value in rating_measures(module, side, groups[name]):
                    yield place | {"seed": fold, "measure": part + measure, "value": value}
            lists, _ = recommend(module, torch.arange(past.n_users), 10, exclude=past)
            yield place | {"seed": fold, "measure": "gini@10", "value": gini(lists, past.n_items)}
            if weight:
                yield place | {"seed": fold, "measure": "quiet", "value": user_term.quiet}
            predicted = module.predict(test.users, test.items).clamp(1, 5)
            pooled.append((test.users, predicted, (predicted - test.ratings).square()))
        users, predicted, squared = (torch.cat(column) for column in zip(*pooled, strict=True))
        rows = groups[name][users]
        found = both_gaps(predicted, squared, rows, users)
        yield from pooled_rows(place, {measure: (gap.difference, gap.low, gap.high) for measure, gap in found.items()})
        if not weight and not diversity:
            before[name] = (found, squared)
            continue
        yield from pooled_rows(place, changes(found, *before[name], squared, users))


def whole(data: MovieLens) -> Iterator[dict]:
    """The value term with all ratings in one batch."""
    yield from ratings(data, [("gender", "none", 0, 0), ("gender", "value", 1, 0)], whole=True)


def plain(data: MovieLens) -> Iterator[dict]:
    """The model without terms: what chance alone would give, and what equal means would cost."""
    groups, folds = groups_of(data), folds_of(data)
    modules = [fit(past, fold, {}, clicks=False, epochs=15) for fold, (past, _) in zip(SEEDS, folds, strict=True)]
    place = {"experiment": "plain", "setting": "gender", "weight": 0, "diversity": 0}
    for fold, module in zip(SEEDS, modules, strict=True):
        for part, side in zip(("train ", ""), folds[fold], strict=True):
            found = dict(rating_measures(module, side, groups["gender"]))
            yield place | {"seed": fold, "measure": part + "value", "value": found["value"]}
            shuffled = value_by_chance(module, side, groups["gender"])
            yield place | {"seed": fold, "measure": part + "value by chance", "value": shuffled}
    yield from shifts(groups, folds, modules)


def both_gaps(predicted: torch.Tensor, squared: torch.Tensor, rows: torch.Tensor, users: torch.Tensor) -> dict:
    """The gap of RMSE and of the mean prediction between two groups of rows."""
    return {
        "rmse gap": fairness.group_gap(squared, rows, users=users, root=True),
        "score gap": fairness.group_gap(predicted, rows, users=users),
    }


def pooled_rows(place: dict, found: dict[str, tuple[float, float, float]]) -> Iterator[dict]:
    """Rows of seed ``all``: value and interval of each measure."""
    for measure, (value, low, high) in found.items():
        yield place | {"seed": "all", "measure": measure, "value": value, "low": low, "high": high}


def shifts(groups: dict, folds: list, modules: list[MatrixFactorization]) -> Iterator[dict]:
    """Close the gap of the means of each grouping by two constants, found on the training part; what it changes."""
    for name, codes in groups.items():
        pooled = []
        for (past, test), module in zip(folds, modules, strict=True):
            own, rows = (module.predict(past.users, past.items), codes[past.users])
            shift = torch.stack([own.mean() - own[rows == group].mean() for group in (0, 1)])
            plain = module.predict(test.users, test.items)
            pooled.append((test.users, test.ratings, plain, plain + shift[codes[test.users]]))
        users, actual, *both = (torch.cat(column) for column in zip(*pooled, strict=True))
        both = [predicted.clamp(1, 5) for predicted in both]
        old, new = (both_gaps(p, (p - actual).square(), codes[users], users) for p in both)
        place = {"experiment": "plain", "setting": name, "weight": 0, "diversity": 0}
        found = {measure: (gap.difference, gap.low, gap.high) for measure, gap in old.items()}
        found |= changes(new, old, (both[0] - actual).square(), (both[1] - actual).square(), users)
        found["people 1"] = (int(codes.sum()), math.nan, math.nan)
        yield from pooled_rows(place, found)


def value_by_chance(module: MatrixFactorization, part: Interactions, user_groups: torch.Tensor) -> float:
    """The value gap that the same predictions would have if nobody's group mattered, mean of 20 shuffles."""
    predicted, rows = module.predict(part.users, part.items).clamp(1, 5), user_groups[part.users]
    generator, found = torch.Generator().manual_seed(0), []
    by_item = part.items.argsort(stable=True)
    for _ in range(20):
        order = torch.rand(len(part), generator=generator).argsort()
        order = order[part.items[order].argsort(stable=True)]  # an item's rows together, in random order
        shuffled = torch.empty_like(rows)
        shuffled[by_item] = rows[order]
        found.append(regularizers.estimation_gap(predicted, part.ratings, part.items, shuffled, "value").item())
    return float(np.mean(found))


def rating_measures(module: MatrixFactorization, part: Interactions, user_groups: torch.Tensor) -> Iterator:
    """Errors and mean scores, in all and by group, and the four estimation gaps."""
    predicted = module.predict(part.users, part.items).clamp(1, 5)
    rows = user_groups[part.users]
    yield "rmse", metrics.rmse(predicted, part.ratings)
    for group in (0, 1):
        mine = rows == group
        yield f"rmse {group}", metrics.rmse(predicted[mine], part.ratings[mine])
        yield f"score {group}", predicted[mine].mean().item()
        yield f"rating {group}", part.ratings[mine].mean().item()
    for kind in KINDS:
        yield kind, regularizers.estimation_gap(predicted, part.ratings, part.items, rows, kind).item()


def changes(found: dict, before: dict, old: torch.Tensor, new: torch.Tensor, users: torch.Tensor) -> dict:
    """What a term changed, each with a paired interval over users: gaps, RMSE of each group, RMSE."""
    result = {}
    for measure in found:
        a, b = before[measure], found[measure]
        moved = np.diff(b.draws, axis=1) - np.diff(a.draws, axis=1)
        result[f"{measure} change"] = (b.difference - a.difference, *np.quantile(moved, (0.025, 0.975)))
    a, b = before["rmse gap"], found["rmse gap"]
    for group in (0, 1):
        moved = b.draws[:, group] - a.draws[:, group]
        result[f"rmse {group} change"] = (b[group] - a[group], *np.quantile(moved, (0.025, 0.975)))
    sums = np.stack([np.bincount(users, column) for column in (old, new, torch.ones(len(users)))])
    sums = sums[:, sums[2] > 0]
    n = sums.shape[1]
    times = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=2000)
    old_rmse, new_rmse = np.sqrt((sums[:2] @ times.T) / (sums[2] @ times.T))
    total = np.sqrt(sums[1].sum() / sums[2].sum()) - np.sqrt(sums[0].sum() / sums[2].sum())
    result["rmse change"] = (total, *np.quantile(new_rmse - old_rmse, (0.025, 0.975)))
    return result


# ---- clicks ----------------------------------------------------------------------------------------------------


class World(NamedTuple):
    """One data set of clicks: its parts by seed, groups of users and of items, and how to train on it."""

    parts: list[tuple[Interactions, Interactions]]
    user_groups: dict[str, torch.Tensor]
    compared: dict[str, tuple[int, int]]
    main: str
    item_groups: list[torch.Tensor]
    epochs: int

    @property
    def activity(self) -> np.ndarray:
        """How many items each user has, ``(n_users,)``: the two parts of any seed together."""
        past, test = self.parts[0]
        return np.bincount(torch.cat([past.users, test.users]), minlength=past.n_users)


def journey() -> World:
    """Complete Journey: who bought which product at all; income and age bands; national and store brands."""
    tables = load_complete_journey(
        {
            "transactions": ["household_id", "product_id"],
            "products": ["product_id", "brand", "department"],
            "demographics": ["household_id", "income", "age"],
        }
    )
    people = tables["demographics"].sort_values("household_id")
    bought = tables["transactions"].drop_duplicates()
    bought = bought[bought.household_id.isin(people.household_id)].merge(tables["products"], on="product_id")
    bought = bought[bought.department != "FUEL"]
    bought = bought[bought.groupby("product_id").household_id.transform("size") >= 80]
    products = bought.drop_duplicates("product_id").sort_values("product_id")
    pairs = bought.rename(columns={"household_id": "user_id", "product_id": "item_id"})
    pairs = pairs[["user_id", "item_id"]].sort_values(["user_id", "item_id"], ignore_index=True)
    low = people.income.isin(["Under 15K", "15-24K", "25-34K", "35-49K"])
    middle = people.income.isin(["50-74K", "75-99K"])
    bands = {
        "income": torch.tensor(np.select([low, middle], [0, 1], 2)),
        "age": torch.tensor(people.age.isin(["45-54", "55-64", "65+"]).to_numpy()).long(),
    }
    own = torch.tensor((products.brand == "Private").to_numpy()).long()
    ids = {"user_ids": people.household_id, "item_ids": products.product_id}
    parts = [
        tuple(Interactions.from_frame(part, **ids) for part in splits.random_split(pairs, seed=seed)) for seed in SEEDS
    ]
    return World(parts, bands, {"income": (0, 2), "age": (0, 1)}, "income", [own] * len(SEEDS), 10)


def films(data: MovieLens) -> World:
    """MovieLens clicks; gender and age; the most rated tenth of the films (group 0) and all others."""
    people = data.users
    bands = {
        "gender": torch.tensor((people["gender"] == "F").to_numpy()).long(),
        "age": torch.tensor((people["age"] >= 35).to_numpy()).long(),
    }
    parts = [tuple(map(data.interactions, splits.random_split(data.ratings, seed=seed))) for seed in SEEDS]
    tails = []
    for past, _ in parts:
        tail = torch.ones(past.n_items, dtype=torch.long)
        tail[ranking.top_k(torch.bincount(past.items, minlength=past.n_items)[None] * 1.0, past.n_items // 10)[0]] = 0
        tails.append(tail)
    return World(parts, bands, {"gender": (0, 1), "age": (0, 1)}, "gender", tails, 15)


CLICKS = {  # term, its weight, weight of diversity
    "journey": [
        *(("none", 0, 0), ("none", 0, 0.002)),
        *(("exposure", 0.3, 0), ("exposure", 1, 0), ("exposure", 1, 0.002)),
        ("equal_opportunity", 1, 0),
    ],
    "films": [("none", 0, 0)],
}
BONUS = {"journey": (-0.05, -0.1, -0.2, -0.3), "films": (0.25, 0.5, 1.0, 1.5)}


class Shifted:
    """A model whose scores of one group of items get a bonus: the re-ranking."""

    def __init__(self, module: MatrixFactorization, bonus: torch.Tensor) -> None:
        self.module, self.bonus = module, bonus

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Scores plus bonus, ``(len(users), n_items)``."""
        return self.module.score(users) + self.bonus


def clicks(data: MovieLens) -> Iterator[dict]:
    """Gaps of list quality between groups of users, and exposure of groups of items; training and re-ranking."""
    for name, world in (("journey", journey()), ("films", films(data))):
        for term, weight, diversity in CLICKS[name]:
            models = [click_model(world, seed, term, weight, diversity) for seed in SEEDS]
            place = {"experiment": "clicks", "setting": f"{name}: {term}", "weight": weight, "diversity": diversity}
            yield from click_rows(place, world, models)
            if term == "none" and not diversity:
                for bonus in BONUS[name]:
                    shifted = [Shifted(m, bonus * g) for m, g in zip(models, world.item_groups, strict=True)]
                    other = {"experiment": "rerank", "setting": name, "weight": bonus, "diversity": 0}
                    yield from click_rows(other, world, shifted)


def click_model(world: World, seed: int, term: str, weight: float, diversity: float) -> MatrixFactorization:
    """BCE, and up to two more terms."""
    past, groups, terms = world.parts[seed][0], world.item_groups[seed], {}
    seen, target = past.mask(), deserved(past, groups)
    if diversity:
        terms["diversity"] = (diversity, concentration(past))
    if term == "exposure":
        terms["fairness"] = (
            weight,
            lambda module, predicted, actual, users, items: regularizers.exposure_parity(
                candidates(module, users, seen), groups, target, temperature=TEMPERATURE
            ),
        )
    elif term != "none":
        user_term = FairnessTerm(term, world.user_groups[world.main])
        terms["fairness"] = (weight, lambda module, *batch: user_term(*batch))
    return fit(past, seed, terms, clicks=True, epochs=world.epochs)


def deserved(past: Interactions, groups: torch.Tensor) -> torch.Tensor:
    """Share of the training interactions that each group of items has."""
    return torch.bincount(groups[past.items]) / len(past)


def click_rows(place: dict, world: World, models: list) -> Iterator[dict]:
    """All measures of one setting: by seed, and pooled over seeds with intervals over users."""
    quality, shares = [], []
    for seed, ((past, test), model) in enumerate(zip(world.parts, models, strict=True)):
        groups = world.item_groups[seed]
        per_user = measure_lists_per_user(model, past, test)["ndcg@10"].reindex(past.user_ids).to_numpy()
        everyone = torch.arange(past.n_users)
        lists, _ = recommend(model, everyone, 10, exclude=past)
        discount = 1 / torch.log2(torch.arange(10) + 2.0)
        shares.append(((groups[lists] == 1) * discount).sum(dim=1) / discount.sum())
        quality.append(per_user)
        got = {"ndcg@10": np.nanmean(per_user), "gini@10": gini(lists, past.n_items)}
        got |= {"share 1": shares[-1].mean().item(), "deserved 1": deserved(past, groups)[1].item()}
        merit = torch.bincount(test.items, minlength=test.n_items) / past.n_users
        per_merit = fairness.exposure_per_merit(lists, groups, merit)
        got |= {"per merit 0": per_merit[0].item(), "per merit 1": per_merit[1].item()}
        with torch.no_grad():
            positive = model.score(everyone)[test.users, test.items]
        for name, bands in world.user_groups.items():
            for band in range(int(bands.max()) + 1):
                got[f"ndcg {name} {band}"] = np.nanmean(per_user[bands == band])
                got[f"score {name} {band}"] = positive[bands[test.users] == band].mean().item()
        yield from (place | {"seed": seed, "measure": key, "value": value} for key, value in got.items())
    mean_quality = pd.DataFrame(quality).mean().to_numpy()  # nan for a user without test items in any seed
    mean_share = torch.stack(shares).mean(dim=0).numpy()
    pooled = {"share 1": (mean_share.mean(), *bootstrap_interval(mean_share))}
    pooled["ndcg@10"] = (np.nanmean(mean_quality), *bootstrap_interval(mean_quality))
    for name, (first, second) in world.compared.items():
        bands = world.user_groups[name].numpy()
        kept = np.isin(bands, (first, second))
        gap = fairness.group_gap(mean_quality[kept], (bands[kept] == second).astype(int))
        pooled[f"ndcg gap {name}"] = (gap.difference, gap.low, gap.high)
    first = (place["experiment"], place["setting"].split(":")[0])
    if place["experiment"] == "clicks" and place["setting"].endswith("none") and not place["diversity"]:
        BEFORE[first[1]] = mean_quality, mean_share
    else:
        for measure, now, then in zip(
            ("ndcg@10 change", "share 1 change"), (mean_quality, mean_share), BEFORE[first[1]], strict=True
        ):
            moved = now - then
            pooled[measure] = (np.nanmean(moved), *bootstrap_interval(moved))
    for measure, (value, low, high) in pooled.items():
        yield place | {"seed": "all", "measure": measure, "value": value, "low": low, "high": high}


def within_fifths(
    values: np.ndarray, groups: np.ndarray, activity: np.ndarray, samples: int = 2000
) -> tuple[float, float, float]:
    """The gap between groups 1 and 0 inside each fifth of activity, weighed by group 1, with a 95 % interval.

    People are resampled within their group, as in ``group_gap``.
    """
    fifth = pd.qcut(activity, 5, labels=False)
    rng, sums = np.random.default_rng(0), []
    for group in (0, 1):
        own = np.flatnonzero(groups == group)
        drawn = own[np.vstack([np.arange(len(own)), rng.integers(0, len(own), (samples, len(own)))])]
        inside = fifth[drawn][:, :, None] == np.arange(5)  # (1 + samples, people, 5); the first is what was found
        sums.append([inside.sum(axis=1), np.einsum("spf,sp->sf", inside, values[drawn])])
    (n_0, total_0), (n_1, total_1) = sums
    gaps = ((total_1 / n_1 - total_0 / n_0) * n_1).sum(axis=1) / n_1.sum(axis=1)
    return (float(gaps[0]), *np.quantile(gaps[1:], (0.025, 0.975)))


def activity(data: MovieLens) -> Iterator[dict]:
    """Gaps of list quality as they are, and among users who are about as active; the model without terms."""
    for name, world in (("journey", journey()), ("films", films(data))):
        quality = []
        for seed, (past, test) in enumerate(world.parts):
            model = click_model(world, seed, "none", 0, 0)
            quality.append(measure_lists_per_user(model, past, test)["ndcg@10"].reindex(past.user_ids).to_numpy())
        place = {"experiment": "activity", "setting": name, "weight": 0, "diversity": 0}
        for key, (first, second) in world.compared.items():
            for seed, values in [*enumerate(quality), ("all", pd.DataFrame(quality).mean().to_numpy())]:
                kept = np.isin(world.user_groups[key], (first, second)) & ~np.isnan(values)
                two = (world.user_groups[key].numpy()[kept] == second).astype(int)
                gap = fairness.group_gap(values[kept], two)
                found = {f"gap {key}": (gap.difference, gap.low, gap.high)}
                found[f"gap {key} within fifths"] = within_fifths(values[kept], two, world.activity[kept])
                for measure, (value, low, high) in found.items():
                    yield place | {"seed": seed, "measure": measure, "value": value, "low": low, "high": high}


BEFORE: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # the model without terms, to which the others are compared
PARTS = {part.__name__: part for part in (ratings, whole, plain, clicks, activity)}


def main(wanted: list[str]) -> None:
    """Run the named experiments, all when none is named: about a quarter of an hour alone."""
    data, rows = movielens(), []
    for name in wanted or PARTS:
        for row in PARTS[name](data):
            rows.append(row)
            if row["seed"] == "all":
                print(*row.values(), flush=True)
    keys = ["experiment", "setting", "weight", "diversity", "seed", "measure"]
    table = pd.DataFrame(rows).reindex(columns=[*keys, "value", "low", "high"])
    write("ch13_fairness", table, keys=keys, keep_others=bool(wanted))


if __name__ == "__main__":
    main(sys.argv[1:])
