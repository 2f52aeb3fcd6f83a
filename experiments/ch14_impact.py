"""The feedback loop of chapter 14, one knob at a time, on five worlds; and antidote data for a real factorisation.

``loop``: 500 users, 500 items, 50 rounds; ``results/ch14_impact.csv`` holds the means over the last ten rounds
(``worth a
round`` over all of them). Seeds are worlds: each policy of a seed meets the same people with the same moods. The
regularization of EASE and the factors of ALS were not tuned; ``settings`` says what other choices do. ``exploration``
and ``diversity`` turn the knob of a remedy at appetite 1, ``remedies`` has the appetite as its knob.

    python experiments/ch14_impact.py                         everything
    python experiments/ch14_impact.py remedies satisfaction   these experiments of the loop only; the other rows stay
    python experiments/ch14_impact.py market                  that table only

``market``: who makes bait, when an item earns by takes (advertising), by satisfied takes, or a mixture; smaller
worlds. Each season the share of bait in the catalogue follows what bait earned in the last one;
``results/ch14_impact_market.csv``.

``antidote``: users who do not exist are added to the training ratings of MovieLens-100K so that the predictions for
real users spread less (or more), in the spirit of Rastegarpanah, Gummadi and Crovella (2019);
``results/ch14_impact_antidote.csv``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice, product

import pandas as pd
import torch
from _tables import write

import course_utils
from course_utils.data import Interactions, load_movielens, splits
from course_utils.models.als import ALS, ImplicitALS
from course_utils.models.baselines import Popularity
from course_utils.models.content import ContentBased
from course_utils.models.neighbors import EASE
from course_utils.simulation.antidote import antidote, damped_means, disagreement, with_accounts
from course_utils.simulation.feedback_loop import FeedbackLoop
from course_utils.simulation.policies import Oracle, RandomSlates, Retrained
from course_utils.simulation.world import Policy, Run, World

SEEDS = range(5)
LAST = 10  # rounds


def describe(world: World) -> torch.Tensor:
    """What a content-based model is told of the items: 21 overlapping stretches of the axis, ``(I, 21)``."""
    centres = torch.linspace(-1, 1, 21, dtype=torch.float64)
    return torch.exp(-((world.positions[:, None] - centres) ** 2) / 0.1)


def models(world: World) -> dict[str, Callable[[], object]]:
    """The recommenders, made fresh for each fit."""
    return {
        "popularity": Popularity,
        "ease": lambda: EASE(50.0),
        "content": lambda: ContentBased(describe(world).numpy()),
        "ease 20": lambda: EASE(20.0),
        "ease 200": lambda: EASE(200.0),
        "als": lambda: ImplicitALS(4, regularization=10.0, alpha=10.0, iterations=5),
        "content, no background": lambda: ContentBased(describe(world).numpy(), background=False),
    }


FIXED = {"random": RandomSlates(), "engagement oracle": Oracle(), "satisfaction oracle": Oracle("satisfaction")}
EVERYONE = [*FIXED, "popularity", "ease", "content"]
REMEDIED = ["popularity", "ease", "content"]
REMEDIES = [(name, {"exploration": share}) for name in REMEDIED for share in (0.1, 0.5)]
REMEDIES += [("ease", {"diversity": 0.3}), ("content", {"diversity": 0.9})]


def plan() -> Iterator[tuple[str, str, float, dict, dict]]:
    """Experiment, policy, value of its knob, knobs of the loop, knobs of the policy."""
    for k, name in product((0.0, 0.5, 1.0, 2.0), EVERYONE):
        yield "appetite", name, k, {"appetite": k}, {}
    for drift, name in product((0.0, 0.05, 0.2), EVERYONE):
        yield "drift", name, drift, {"drift": drift}, {}
    for share, name in product((0.0, 0.1, 0.5, 1.0), REMEDIED):
        yield "exploration", name, share, {}, {"exploration": share}
    for weight, name in product((0.3, 0.6, 0.9), REMEDIED[1:]):
        yield "diversity", name, weight, {}, {"diversity": weight}
    for k, (name, remedy) in product((0.0, 0.5, 2.0), REMEDIES):  # at 1 they stand above
        (knob, value), *_ = remedy.items()
        yield "remedies", f"{name}, {knob} {value:g}", k, {"appetite": k}, remedy
    for k, name in product((0.0, 0.5, 1.0, 2.0), REMEDIED[1:]):
        yield "satisfaction", name, k, {"appetite": k}, {"objective": "satisfaction"}
    for pull in (0.0, 0.5, 1.0, 2.0):
        knobs = {"appetite": 0.0, "bait_share": 0.2, "bait_pull": pull}
        for name in [*FIXED, "popularity", "ease"]:
            yield "bait", name, pull, knobs, {}
        yield "bait", "ease, satisfaction", pull, knobs, {"objective": "satisfaction"}
    for k, name in product((0.0, 1.0, 2.0), ("ease 20", "ease 200", "als", "content, no background")):
        yield "settings", name, k, {"appetite": k}, {}


def policy(name: str, world: World, knobs: dict) -> Policy:
    """The policy of a row."""
    known = models(world)
    return FIXED.get(name) or Retrained(known.get(name) or known[name.partition(", ")[0]], **knobs)


def summary(run: Run) -> dict[str, float]:
    """Means over the last rounds, and what only a whole run has."""
    ends = run.table().iloc[-LAST:].mean().to_dict()
    return ends | {"worth a round": run.satisfaction.mean().item(), "alike": run.alike(), "gini": run.gini()}


def loop(wanted: list[str]) -> Iterator[dict]:
    """Rows of ``results/ch14_impact.csv``: of the experiments that are named, of all when none is."""
    for experiment, name, value, world_knobs, policy_knobs in plan():
        if wanted and experiment not in wanted:
            continue
        for seed in SEEDS:
            world = FeedbackLoop(seed=seed, **world_knobs)
            found = summary(world.run(policy(name, world.world, policy_knobs)))
            place = {"experiment": experiment, "policy": name, "knob": value, "seed": seed}
            yield from (place | {"measure": key, "value": number} for key, number in found.items())
        print(experiment, name, value, flush=True)


MARKET = {"n_users": 200, "n_items": 200, "rounds": 20, "appetite": 0.0, "bait_pull": 1.0}
SEASONS = 8


def earnings(run: Run, pay: float) -> tuple[float, float]:
    """What an honest and what a bait item earns on average, when a take pays ``pay`` and a satisfied one the rest."""
    paid = pay * (run.taken >= 0) + (1 - pay) * run.satisfied
    per_item = torch.zeros(len(run.world.positions), dtype=torch.float64)
    per_item.index_add_(0, run.taken.clamp(min=0).flatten(), (paid * (run.taken >= 0)).flatten())
    bait = run.world.bait
    return per_item[~bait].mean().item(), per_item[bait].mean().item()


def market() -> Iterator[dict]:
    """All rows of ``results/ch14_impact_market.csv``."""
    rules = [("engagement", pay) for pay in (0.0, 0.1, 0.25, 0.5, 1.0)] + [("satisfaction", 1.0)]
    for (objective, pay), seed in product(rules, SEEDS):
        share = 0.1
        for season in range(SEASONS):
            world = FeedbackLoop(bait_share=share, seed=seed, **MARKET)
            run = world.run(Retrained(lambda: EASE(50.0), objective=objective))
            honest, bait = earnings(run, pay)
            worth = run.satisfaction.mean().item()
            place = {"objective": objective, "pay": pay, "seed": seed, "season": season}
            yield place | {"share": share, "honest": honest, "bait": bait, "worth a round": worth}
            share = share * bait / (share * bait + (1 - share) * honest)
            share = min(max(share, 0.02), 0.98)
        print("market", objective, pay, seed, round(share, 2), flush=True)


FACTORS = 8


def judge(past: Interactions, test: Interactions, added: torch.Tensor | None) -> dict[str, float]:
    """Disagreement of the predictions for real users, over all films and over those with 20 ratings, and the error."""
    everyone = past if added is None else with_accounts(past, added)
    model = ALS(FACTORS, 0.14, iterations=20, weighted=True, biases=False, seed=0).fit(everyone)
    scores = model.score(torch.arange(past.n_users))
    often = torch.bincount(past.items, minlength=past.n_items) >= 20
    error = model.predict(test.users, test.items).clamp(1, 5) - test.ratings
    return {
        "disagreement": disagreement(scores),
        "often rated": disagreement(scores[:, often]),
        "rmse": error.square().mean().sqrt().item(),
    }


def antidotes() -> Iterator[dict]:
    """All rows of ``results/ch14_impact_antidote.csv``: three folds of the common rating protocol."""
    data = load_movielens()
    for fold, parts in enumerate(islice(splits.k_fold(data.ratings, seed=0), 3)):
        past, test = map(data.interactions, parts)
        yield {"kind": "none", "accounts": 0, "fold": fold} | judge(past, test, None)
        for accounts in (5, 20):
            dice = torch.Generator().manual_seed(fold)
            added = {
                "random stars": torch.randint(1, 6, (accounts, past.n_items), generator=dice).double(),
                "means": damped_means(past).round().expand(accounts, -1),
                "antidote": antidote(past, accounts, factors=FACTORS),
                "the other way": antidote(past, accounts, factors=FACTORS, raise_it=True),
            }
            for kind, ratings in added.items():
                row = {"kind": kind, "accounts": accounts, "fold": fold} | judge(past, test, ratings)
                print(*row.values(), flush=True)
                yield row


def main(wanted: list[str]) -> None:
    """Run the named parts, all when none is named: about fifteen minutes alone."""
    course_utils.setup(threads=1)
    tables = {
        "market": (market, "ch14_impact_market", ["objective", "pay", "seed", "season"]),
        "antidote": (antidotes, "ch14_impact_antidote", ["kind", "accounts", "fold"]),
    }
    inside = [name for name in wanted if name not in tables]
    unknown = set(inside) - {row[0] for row in plan()}
    if unknown:
        raise SystemExit(f"unknown part(s) {sorted(unknown)}")
    if inside or not wanted:
        keys = ["experiment", "policy", "knob", "seed", "measure"]
        write("ch14_impact", pd.DataFrame(loop(inside)), keys=keys, keep_others=True)
    for name, (rows, table, keys) in tables.items():
        if name in wanted or not wanted:
            write(table, pd.DataFrame(rows()), keys=keys)


if __name__ == "__main__":
    main(sys.argv[1:])
