"""The comparisons of chapter 15, which shows ``results/ch15_other_approaches.csv``.

    python experiments/ch15_other_approaches.py             everything
    python experiments/ch15_other_approaches.py fm bandits  these parts only; the other rows stay

One row an experiment, setting, seed and measure.

- ``fm``: RMSE of :class:`course_utils.models.factorization_machines.ContextFM` on ``k_fold(seed=0)``, seed is
the fold: descriptions
  alone, history alone, both, and both with two contexts of time: their weights shrunk as all others are, and more.
- ``stages``: the pipeline on ``random_split`` seeds 0, 1, 2: the two-tower model's candidates, what a better
  model makes of them, and re-ranking. ``recall@n`` is the share of test films among the n candidates.
- ``cold``: AUC on films without any history, with and without the features of the item tower.
- ``ann``: recall@10 of approximate neighbours against the share of distances computed, over the films and over the
  products of the Complete Journey. seed is how far the search looks.
- ``bandits``: mean reward of bandits on replayed and on real choices; seed is the run.
- ``dial``: mean reward of the first so many real choices, by how widely a bandit explores; seed is the run.
- ``coins``: the same films as coins that are the same for everybody, all on offer at each step or pools of ten: what
  was lost a step against the best film on offer; seed is the run.
- ``logs``: off-policy estimates of five policies from the logs of a sixth, against the truth: mean and root mean
  squared error over 200 logs of 3,000 steps.
- ``long run``: policies inside the feedback loop of chapter 14; seed is the loop's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pandas as pd
import torch
from _policies import doubly_robust, greedy_policy, policy_log, ridge_rewards, softmax_policy
from _rating_times import DAYS, WEEKS, rating_times
from _tables import SEEDS, movielens, write
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize
from usearch.index import Index

from course_utils import ranking
from course_utils.data import load_complete_journey, splits
from course_utils.data.features import item_features, user_features
from course_utils.evaluation import intra_list_diversity, measure_ratings, metrics, off_policy
from course_utils.models.als import ImplicitALS
from course_utils.models.content import ContentBased, auc_per_user, hold_out_items
from course_utils.models.factorization_machines import ContextFM
from course_utils.models.two_tower import TwoTower
from course_utils.simulation import bandits
from course_utils.simulation.bandits import replay, user_contexts
from course_utils.simulation.feedback_loop import FeedbackLoop
from course_utils.simulation.logs import RatedArms, UniformLog, rated_arms, uniform_log
from course_utils.simulation.policies import OffsetPolicy, Oracle, RandomSlates, explore, plan
from course_utils.simulation.world import Run

Row = tuple[str, str, int, str, float]
CANDIDATES, TRADE_OFF = 200, 0.8
LOOKS = (10, 20, 40, 80, 160, 320)
RUNS, STEPS = 20, 20_000
LOGS, LOG_STEPS = 200, 3_000
LOOPS = (0, 1, 2, 3, 4)
BANDITS: dict[str, Callable[[int], bandits.Bandit]] = {
    "by chance": lambda d: bandits.EpsilonGreedy(RUNS, 50, 1.0),
    "greedy": lambda d: bandits.EpsilonGreedy(RUNS, 50, 0.0),
    "epsilon 0.1": lambda d: bandits.EpsilonGreedy(RUNS, 50, 0.1),
    "UCB1": lambda d: bandits.UCB1(RUNS, 50),
    "UCB1, timid": lambda d: bandits.UCB1(RUNS, 50, 0.2),
    "Thompson": lambda d: bandits.Thompson(RUNS, 50),
    "LinUCB, greedy": lambda d: bandits.LinUCB(RUNS, 50, d, 0.0),
    "LinUCB 0.1": lambda d: bandits.LinUCB(RUNS, 50, d, 0.1),
    "LinUCB 1": lambda d: bandits.LinUCB(RUNS, 50, d, 1.0),
}
HORIZONS = (500, 1_000, 2_000, 5_000, 10_000, 20_000)


class Narrowed(bandits.Thompson):
    """Thompson sampling whose draws are pulled towards their means: width 1 is the draw itself, 0 the mean alone."""

    def __init__(self, runs: int, arms: int, width: float) -> None:
        super().__init__(runs, arms)
        self.width = width

    def values(
        self, generator: np.random.Generator, pools: np.ndarray, contexts: bandits.Contexts = None
    ) -> np.ndarray:
        """Mean plus a share of what the draw differs from it."""
        counts, sums = self._of(pools)
        mean = (1 + sums) / (2 + counts)
        return mean + self.width * (super().values(generator, pools) - mean)


DIAL: dict[str, Callable[[int], bandits.Bandit]] = {
    "greedy": lambda d: bandits.EpsilonGreedy(RUNS, 50, 0.0),
    "epsilon 0.1": lambda d: bandits.EpsilonGreedy(RUNS, 50, 0.1),
    **{f"UCB1, {c:g}": lambda d, c=c: bandits.UCB1(RUNS, 50, c) for c in (0.02, 0.1, 0.5, 2.0)},
    **{f"Thompson, {w:g}": lambda d, w=w: Narrowed(RUNS, 50, w) for w in (0.0, 0.25, 0.5, 1.0)},
    **{f"LinUCB, {a:g}": lambda d, a=a: bandits.LinUCB(RUNS, 50, d, a) for a in (0.0, 0.1, 0.3, 1.0)},
}


def fm() -> Iterator[Row]:
    """Which part of a factorization machine earns its place."""
    data = movielens()
    described = {
        "user_features": user_features(data.users),
        "item_features": item_features(data.items, titles=0).matrix.toarray(),
    }
    alone = {"history": False, "regularization": 0.11, "shrinkage": 0.0, "batch_size": 1024, "lr": 0.01}
    settings: dict[str, Callable[[int], ContextFM]] = {
        "descriptions and history": lambda fold: ContextFM(**described, seed=fold),
        "history": lambda fold: ContextFM(seed=fold),
        "descriptions": lambda fold: ContextFM(**described, **alone, seed=fold),
        "with time": lambda fold: ContextFM(**described, cardinalities=(WEEKS, DAYS), seed=fold),
        "with time, shrunk alike": lambda fold: ContextFM(
            **described, cardinalities=(WEEKS, DAYS), context_shrinkage=20.0, seed=fold
        ),
    }
    for fold, parts in enumerate(splits.k_fold(data.ratings, seed=0)):
        train, test = map(data.interactions, parts)
        past, future = rating_times(train, train), rating_times(train, test)
        for name, make in settings.items():
            timed = name.startswith("with time")
            model = make(fold).fit(train, past if timed else None)
            found = measure_ratings(_At(model, future) if timed else model, test)
            yield "fm", name, fold, "rmse", found["rmse"]


class _At:
    """A model with contexts, asked about the pairs that these contexts belong to."""

    def __init__(self, model: ContextFM, contexts: object) -> None:
        self.model, self.contexts = model, contexts

    def predict(self, users: object, items: object) -> object:
        return self.model.predict(users, items, self.contexts)


def stages() -> Iterator[Row]:
    """What each stage of the pipeline adds, and what it costs."""
    data = movielens()
    films = item_features(data.items, titles=0).matrix.toarray()
    tables = (user_features(data.users), films)
    alike = torch.from_numpy(films @ films.T)
    for seed in SEEDS:
        train, test = map(data.interactions, splits.random_split(data.ratings, seed=seed))
        seen, relevant = train.mask(), test.mask()
        everyone = torch.arange(train.n_users)
        towers = TwoTower(train.n_users, train.n_items, *tables, seed=seed).fit(train)
        retrieved = towers.score(everyone).masked_fill(seen, -torch.inf)
        better = ImplicitALS(seed=seed).fit(train).score(everyone).masked_fill(seen, -torch.inf)
        for name, scores in (("two-tower", retrieved), ("ALS on everything", better)):
            for n in (10, CANDIDATES):
                share = metrics.recall_at_k(ranking.top_k(scores, n), relevant, n).nanmean().item()
                yield "stages", name, seed, f"recall@{n}", share
        candidates = ranking.top_k(retrieved, CANDIDATES)
        kept = torch.full_like(better, -torch.inf)
        kept.scatter_(1, candidates, better.gather(1, candidates))
        items, unit = ranking.shortlist(kept, 100)
        pairs = alike[items[:, :, None], items[:, None, :]]
        lists = {
            "two-tower": ranking.top_k(retrieved, 10),
            "ALS on the candidates": ranking.top_k(kept, 10),
            "ALS and MMR": items.gather(1, ranking.mmr(unit, pairs, 10, TRADE_OFF)),
            "ALS on everything": ranking.top_k(better, 10),
        }
        for name, found in lists.items():
            yield "stages", name, seed, "ndcg@10", metrics.ndcg_at_k(found, relevant, 10).nanmean().item()
            apart = intra_list_diversity(found, torch.from_numpy(films))
            yield "stages", name, seed, "diversity@10", apart.mean().item()


def cold() -> Iterator[Row]:
    """Films that nobody has rated: can features place them?"""
    data = movielens()
    tables = (user_features(data.users), item_features(data.items, titles=0).matrix.toarray())
    for seed in SEEDS:
        kept, held = hold_out_items(data.ratings, seed=seed)
        train, new = data.interactions(kept), data.interactions(held[kept.columns])
        columns = new.items.unique()
        relevant = new.mask()[:, columns]
        everyone = torch.arange(train.n_users)
        models = {
            "two-tower, ids alone": TwoTower(train.n_users, train.n_items, seed=seed),
            "two-tower, ids and features": TwoTower(train.n_users, train.n_items, *tables, seed=seed),
            "content-based": ContentBased(item_features(data.items, titles=0)),
        }
        for name, model in models.items():
            scores = model.fit(train).score(everyone)[:, columns]
            yield "cold", name, seed, "auc", auc_per_user(scores, relevant, ~relevant).nanmean().item()


def approximate() -> Iterator[Row]:
    """Recall of approximate neighbours against the share of distances computed."""
    data = movielens()
    train = data.interactions(splits.random_split(data.ratings, seed=0)[0])
    tables = (user_features(data.users), item_features(data.items, titles=0).matrix.toarray())
    towers = TwoTower(train.n_users, train.n_items, *tables).fit(train)
    for name, (queries, vectors) in {"films": towers.vectors(), "products": journey_vectors()}.items():
        n, d = vectors.shape
        index = Index(ndim=d, metric="ip", dtype=vectors.dtype.name, connectivity=16, expansion_add=64)
        # One thread makes the same graph each time.
        index.add(np.arange(n), np.ascontiguousarray(vectors), threads=1)
        scores = queries @ vectors.T
        tenth = np.partition(scores, n - 10, axis=1)[:, n - 10, None]
        yield "ann", name, 0, "vectors", n
        for look in LOOKS:
            index.expansion_search = look
            found = index.search(np.ascontiguousarray(queries), 10, threads=1)
            assert (found.counts == 10).all()  # the keys of a search that found fewer are not to be trusted
            values = np.take_along_axis(scores, found.keys.astype(int), axis=1)
            yield "ann", name, look, "share", found.computed_distances / scores.size
            # Ties count: products that one household alone bought have the same vector. Rounding does not.
            yield "ann", name, look, "recall", (values >= tenth - 1e-6).mean()


def journey_vectors(queries: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the first households and of all products of the Complete Journey, from one year of purchases."""
    columns = ["household_id", "product_id"]
    bought = load_complete_journey({"transactions": columns})["transactions"]
    counts = bought.groupby(columns).size()
    rows, places = (pd.factorize(counts.index.get_level_values(c), sort=True)[0] for c in columns)
    table = sparse.csr_array((np.log1p(counts.to_numpy()), (rows, places)))
    svd = TruncatedSVD(32, algorithm="arpack", random_state=0)
    households = normalize(svd.fit_transform(table))[:queries]
    return households.astype(np.float32), normalize(svd.components_.T).astype(np.float32)


def film_arms() -> tuple[RatedArms, np.ndarray]:
    """Films as arms, and what a bandit knows of each user."""
    data = movielens()
    everything = data.interactions(data.ratings)
    world = rated_arms(everything)
    return world, user_contexts(everything, world)


def bandit() -> Iterator[Row]:
    """Bandits on logs that chance wrote, and on the choices themselves."""
    world, contexts = film_arms()
    log = uniform_log(world, RUNS, STEPS, seed=0)
    short = UniformLog(world, log.users[:, : STEPS // 10], log.pools[:, : STEPS // 10], log.arms[:, : STEPS // 10])
    for name, make in BANDITS.items():
        x = contexts if name.startswith("LinUCB") else None
        replayed = replay(make(contexts.shape[1]), log, x, seed=1)
        real = replay(make(contexts.shape[1]), short, x, seed=1, online=True)
        for run in range(RUNS):
            yield "bandits", name, run, "replayed", replayed.mean[run]
            yield "bandits", name, run, "kept", replayed.kept[run].sum()
            yield "bandits", name, run, "real", real.mean[run]


def dial() -> Iterator[Row]:
    """How widely to explore, and for how long: real choices, up to a long horizon."""
    world, contexts = film_arms()
    log = uniform_log(world, RUNS, STEPS, seed=0)
    for name, make in DIAL.items():
        x = contexts if name.startswith("LinUCB") else None
        got = replay(make(contexts.shape[1]), log, x, seed=1, online=True).rewards.cumsum(axis=1)
        for run, steps in product(range(RUNS), HORIZONS):
            yield "dial", name, run, f"first {steps}", got[run, steps - 1] / steps


def coins() -> Iterator[Row]:
    """Films as coins: what is lost when all are on offer at each step, and in pools of ten that change."""
    data = movielens()
    world = rated_arms(data.interactions(data.ratings))
    chances = np.nanmean(world.rewards, axis=0)
    offers = {
        "all on offer": np.broadcast_to(np.arange(len(chances)), (RUNS, STEPS, len(chances))),
        "pools of ten": uniform_log(world, RUNS, STEPS, seed=0).pools,
    }
    for (offer, pools), name in product(offers.items(), ("greedy", "Thompson, 0", "Thompson, 1")):
        bandit, generator, rows = DIAL[name](0), np.random.default_rng(1), np.arange(RUNS)
        lost = np.empty((RUNS, STEPS))
        for step in range(STEPS):
            pool = pools[:, step]
            arms = pool[rows, bandit.values(generator, pool).argmax(axis=1)]
            bandit.update(arms, generator.random(RUNS) < chances[arms])
            lost[:, step] = chances[pool].max(axis=1) - chances[arms]
        for run, steps in product(range(RUNS), HORIZONS):
            yield "coins", f"{name}, {offer}", run, f"first {steps}", lost[run, :steps].mean()


def logs() -> Iterator[Row]:
    """Five policies judged from the logs of a sixth, on people of whom no policy and no model has learned."""
    world, contexts = film_arms()
    learned_from = np.arange(len(world.users)) % 2 == 0
    predicted = ridge_rewards(world, contexts, learned_from)[~learned_from]
    loved = np.nanmean(world.rewards[learned_from], axis=0)
    rest = world.users[~learned_from], world.items, world.rewards[~learned_from], world.rated[~learned_from]
    world = RatedArms(*rest)
    even = world.rated / world.rated.sum(axis=1, keepdims=True)
    logging = 0.8 * softmax_policy(world, predicted, 0.15) + 0.2 * even
    policies = target_policies(world, predicted, loved)
    lead = ((policies["personal"] - policies["most loved"]) * np.nan_to_num(world.rewards)).sum(axis=1)
    yield "logs", "personal", 0, "standard error of its lead", lead.std(ddof=1) / len(lead) ** 0.5
    log = policy_log(world, logging, LOGS, LOG_STEPS, seed=0)
    steps = (log.users, log.arms)
    for name, policy in policies.items():
        target, chances = policy[steps], log.propensities
        expected = (policy * predicted).sum(axis=1)[log.users]
        guess = {"predicted": predicted[steps], "expected": expected}
        estimates = {
            "naive": off_policy.naive_average(log.rewards, target),
            "IPS": off_policy.ips(log.rewards, target, chances),
            "SNIPS": off_policy.snips(log.rewards, target, chances),
            "direct": expected.mean(axis=1),
            "doubly robust": doubly_robust(log.rewards, target, chances, **guess),
        }
        yield "logs", name, 0, "truth", world.value(policy)
        yield "logs", name, 0, "effective share", off_policy.effective_share(target, chances).mean()
        for estimator, values in estimates.items():
            yield "logs", name, 0, f"{estimator} mean", values.mean()
            yield "logs", name, 0, f"{estimator} rmse", np.sqrt(((values - world.value(policy)) ** 2).mean())


def target_policies(world: RatedArms, predicted: np.ndarray, loved: np.ndarray) -> dict[str, np.ndarray]:
    """The policies to be judged: chances of each arm for each user."""
    return {
        "by chance": world.rated / world.rated.sum(axis=1, keepdims=True),
        "best known": greedy_policy(world, -np.arange(len(world.items))),
        "most loved": greedy_policy(world, loved),
        "personal": greedy_policy(world, predicted),
        "personal, softly": softmax_policy(world, predicted, 0.1),
    }


def long_run() -> Iterator[Row]:
    """Myopic and far-sighted policies in the feedback loop, with an appetite for extremity and without."""
    movielens()
    for appetite in (2.0, 0.0):
        knobs = {"appetite": appetite, "nothing": 10.0, "drift": 0.2}
        for seed in LOOPS:
            loop = FeedbackLoop(seed=seed, **knobs)
            counts = explore(tuple(range(100 + 10 * seed, 103 + 10 * seed)), n_users=1500, **knobs)
            policies = {"random": RandomSlates(), "engagement oracle": Oracle("engagement")}
            for reward in ("clicks", "satisfied"):
                for discount in (0.0, 0.95):
                    policies[f"{reward} {discount:g}"] = OffsetPolicy(plan(counts, discount, reward))
            for name, policy in policies.items():
                for measure, value in loop_measures(loop.run(policy)).items():
                    yield "long run", f"{name}, appetite {appetite:g}", seed, measure, value


def loop_measures(run: Run) -> dict[str, float]:
    """What a run brought to the platform and to its users, in all and in blocks of ten rounds."""
    table, took = run.table(), (run.taken >= 0).double()
    found = {"clicks": took.mean().item(), "worth": table["satisfaction"].mean()}
    for start in range(0, len(took), 10):
        rounds = slice(start, start + 10)
        found[f"clicks from {start}"] = took[rounds].mean().item()
        found[f"extremity from {start}"] = table["taste extremity"].iloc[rounds].mean()
    return found | {"extremity": table["taste extremity"].iloc[-1]}


PARTS = {
    "fm": fm,
    "stages": stages,
    "cold": cold,
    "ann": approximate,
    "bandits": bandit,
    "dial": dial,
    "coins": coins,
    "logs": logs,
    "long run": long_run,
}


def main(wanted: list[str]) -> None:
    """The named parts, or everything."""
    unknown = set(wanted) - set(PARTS)
    if unknown:
        raise SystemExit(f"unknown part(s) {sorted(unknown)}; there are {sorted(PARTS)}")
    rows = []
    for name in wanted or PARTS:
        for row in PARTS[name]():
            rows.append(row)
            print(*row, flush=True)
    table = pd.DataFrame(rows, columns=["experiment", "setting", "seed", "measure", "value"])
    write("ch15_other_approaches", table, keys=["experiment", "setting", "seed", "measure"], keep_others=True)


if __name__ == "__main__":
    main(sys.argv[1:])
