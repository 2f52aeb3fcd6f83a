"""Which negatives should a model be shown? Chapter 11 shows ``results/ch11_negatives.csv``.

One row a number: ``experiment``, ``setting``, ``seed``, ``measure``, ``value``. The first four parts train matrix
factorisation with biases and 32 factors on chapter 10's slates (5 positives of a user, 25 negatives) with Adam, whose
step falls from 0.03 to 0. In-batch negatives are 256 of the batch's positives, the same for each of its
256 slates; "in-batch + uniform" has as many uniform items beside them. "hard" are the 25 hardest of a pool of about 100
unseen ones.

- ``tune``: NDCG@10 by penalty on chapter 10's validation part (a fifth of seed 0's training part), 12 epochs, which
  chapter 10 found best for softmax, BPR and cross entropy. Steps of the root of 2, until both neighbours of the best
  are worse; it serves all seeds, with four fifths of its penalty, as in chapter 10.
- ``chosen``: the setting that the parts after it take.
- ``samplers``: test NDCG@10, recall, coverage and novelty on ``random_split`` seeds 0, 1, 2, sampled softmax.
- ``dial``: BPR against the 25 hardest of a pool that is 1, 4 and 16 times as large, and of all unseen items; tuned in
  the same way.
- ``false``: the model trained with uniform negatives looks at what is unseen in the training part. Share of hidden
  positives, which are the test part's, by rank, and among the negatives that each sampler would give it.
- ``collapse``: two epochs of triplets with margin 1 (squared distances, free lengths unless "length 1"), by which
  negative is taken. Spread is the mean squared distance of two items with ratings.
- ``margin``: triplet loss between vectors of length 1. NDCG@10 by margin on folds forward in time: train on all
  ratings before a moment, validate on the next tenth, for users known at that moment. Fold ``0.9`` is the test.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd
import torch
from _tables import RESULTS, SEEDS, movielens, write
from torch.nn.functional import normalize

from course_utils import ranking
from course_utils.data import Interactions, MovieLens, splits
from course_utils.evaluation import measure_lists, metrics
from course_utils.learning import loop, losses, negatives
from course_utils.learning.slates import Slates
from course_utils.models.embedding_mf import MatrixFactorization

Row = tuple[str, str | float, int | str, str, float]
STEP, NEGATIVES, BATCH = 0.03, 25, 512
PENALTIES = (0.01, 0.014, 0.02, 0.028, 0.04, 0.057, 0.08, 0.113, 0.16, 0.226, 0.32)
EPOCHS = 12
SAMPLERS = (
    "uniform",
    "popularity",
    "popularity, logQ",
    "in-batch",
    "in-batch, logQ",
    "in-batch + uniform, logQ",
    "hard",
)
DIAL = ("1", "4", "16", "all")  # a pool so many times as large as what is taken of it
OF_SLATES = ("uniform", "1")  # the uniform negatives that slates bring along
MARGINS = (0.1, 0.2, 0.5, 1.0, 2.0)
CUTS = (0.5, 0.6, 0.7, 0.8, 0.9)


def draw(
    name: str,
    model: MatrixFactorization,
    data: Interactions,
    seen: torch.Tensor,
    users: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Negatives of each slate, ``(B, 25)``, item codes."""
    if name.startswith("popularity"):
        return negatives.popularity(data, users, NEGATIVES, generator=generator)
    if name.startswith("uniform"):
        return negatives.uniform(data, users, NEGATIVES, generator=generator)
    allowed = ~seen[users]
    scores = model.score(users)  # (B, n_items): one product is cheaper than looking up a large pool
    if name in ("hard", "4"):
        pool = negatives.uniform(data, users, 4 * NEGATIVES, generator=generator)
        return pool.gather(1, negatives.hard(scores.gather(1, pool), NEGATIVES))
    if name != "all":  # each unseen item is in the pool with the same chance
        chance = NEGATIVES * int(name) / allowed.sum(dim=1, keepdim=True)
        allowed &= torch.rand(allowed.shape, generator=generator, dtype=torch.float32) < chance
    return ranking.top_k(scores.masked_fill(~allowed, -torch.inf), NEGATIVES)


def softmax(positive: torch.Tensor, rest: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """``losses.sampled_softmax_loss`` of each real positive, by the log of the sum over its negatives."""
    return (torch.logaddexp(positive, rest.expand_as(positive)) - positive)[real].mean()


def in_batch(
    name: str,
    model: MatrixFactorization,
    data: Interactions,
    seen: torch.Tensor,
    batch: loop.Batch,
    generator: torch.Generator,
) -> torch.Tensor:
    """Positives of the batch as negatives, corrected or not, and uniform items beside them."""
    users, positives, real, _ = batch
    extra = torch.randint(data.n_items, (len(users) if "uniform" in name else 0,), generator=generator)
    shown = positives[real]
    shown = shown[torch.randperm(len(shown), generator=generator)[: len(users)]]
    columns = torch.cat([shown, extra])
    scores = model.user_factors(users) @ model.item_factors(columns).T + model.item_biases(columns)[:, 0]
    if name.endswith("logQ"):  # how often each column is expected to be offered
        offered = len(shown) * negatives.log_popularity(data, 1).exp() + len(extra) / data.n_items
        scores = scores - offered.log()[columns]
    rest = scores.masked_fill(seen[users][:, columns], -torch.inf).logsumexp(1, keepdim=True)
    shift = model.mean + model.user_biases(users)  # (B, 1), of no use to a softmax: of all scores of a user
    return softmax(model(users[:, None], positives) - shift, rest, real)


def sampled_loss(name: str, data: Interactions, generator: torch.Generator) -> loop.Loss:
    """The loss of a batch of slates, with this sampler's negatives."""
    seen = data.mask()

    def loss(model: MatrixFactorization, batch: loop.Batch) -> torch.Tensor:
        users, positives, real, _ = batch
        if name.startswith("in-batch"):
            return in_batch(name, model, data, seen, batch, generator)
        unseen = batch[3] if name in OF_SLATES else draw(name, model, data, seen, users, generator)
        positive, negative = model(users[:, None], torch.cat([positives, unseen], dim=1)).split([5, NEGATIVES], dim=1)
        if name in DIAL:
            pairs = torch.broadcast_tensors(positive[:, :, None], negative[:, None, :])
            return 2 * losses.bpr_loss(*(side[real] for side in pairs))  # its push as large as the softmax's
        if name.endswith("logQ"):
            negative = negative - negatives.log_chance(data, users, unseen) - math.log(NEGATIVES)
        return softmax(positive, negative.logsumexp(1, keepdim=True), real)

    return loss


def fit(name: str, data: Interactions, seed: int, regularization: float) -> MatrixFactorization:
    """One training."""
    generator = torch.Generator().manual_seed(seed)
    model = MatrixFactorization(data.n_users, data.n_items, seed=seed)
    batches = Slates(data, negatives=NEGATIVES if name in OF_SLATES else 1, generator=generator)
    objective = sampled_loss(name, data, generator)

    def loss(module: MatrixFactorization, batch: loop.Batch) -> torch.Tensor:
        users, positives, real, _ = batch
        return objective(module, batch) + regularization * module.penalty(users, positives[real])

    optimizer = torch.optim.Adam(model.parameters(), lr=STEP, fused=True)
    loop.fit(model, batches, loss, epochs=EPOCHS, optimizer=optimizer, decay=True)
    return model


def climb(measure: Callable[[float], float]) -> dict[float, float]:
    """From the middle of the grid to the next better penalty, until both neighbours are worse: all that was tried."""
    tried: dict[int, float] = {}
    place = len(PENALTIES) // 2
    while True:
        for near in (place, place - 1, place + 1):
            if near in range(len(PENALTIES)) and near not in tried:
                tried[near] = measure(PENALTIES[near])
        best = max(tried, key=lambda index: tried[index])
        if best == place:
            return {PENALTIES[index]: value for index, value in tried.items()}
        place = best


def tune(data: MovieLens) -> Iterator[Row]:
    """Each sampler's penalty, chosen inside the training part."""
    parts = splits.random_split(splits.random_split(data.ratings, seed=0)[0], seed=0)
    past, held_out = map(data.interactions, parts)

    def measure(name: str, regularization: float) -> float:
        return round(measure_lists(fit(name, past, 0, regularization), past, held_out)["ndcg@10"], 4)

    for name in (*SAMPLERS, *DIAL):
        for regularization, value in climb(partial(measure, name)).items():
            yield "tune", name, 0, str(regularization), value


def chosen() -> dict[str, float]:
    """The best penalty of each sampler, from the table of part ``tune``."""
    table = pd.read_csv(RESULTS / "ch11_negatives.csv")
    table = table[table.experiment == "tune"].sort_values("value", kind="stable").groupby("setting")["measure"].last()
    return (0.8 * table.astype(float)).round(4).to_dict()  # there are a quarter more ratings now: as in chapter 10


def samplers(data: MovieLens) -> Iterator[Row]:
    """Same model, same loss, other negatives; the model of uniform ones then judges all of them."""
    best = chosen()
    yield from (("chosen", name, 0, "regularization", value) for name, value in best.items())
    for seed in SEEDS:
        past, test = map(data.interactions, splits.random_split(data.ratings, seed=seed))
        for name in (*SAMPLERS, *DIAL):
            model = fit(name, past, seed, best[name])
            found = measure_lists(model, past, test)
            for measure in ("ndcg@10", "recall@10", "coverage@10", "novelty@10"):
                yield "dial" if name in DIAL else "samplers", name, seed, measure, found[measure]
            if name in DIAL:
                yield "dial", name, seed, "auc", user_auc(model, past, test)
            if name == "uniform":
                yield from false_negatives(model, past, test, seed)


def user_auc(model: MatrixFactorization, past: Interactions, test: Interactions) -> float:
    """Mean over users of the chance that a test item stands above an item that the user never met."""
    users = test.users.unique()
    rows = zip(model.score(users), ~past.mask()[users], test.mask()[users], strict=True)
    values = [metrics.auc(scores[new], relevant[new]) for scores, new, relevant in rows]
    return sum(values) / len(values)


def false_negatives(model: MatrixFactorization, past: Interactions, test: Interactions, seed: int) -> Iterator[Row]:
    """Share of hidden positives among the unseen, by rank and by sampler."""
    hidden, users = test.mask(), test.users.unique()
    lists = ranking.top_k(model.score(users).masked_fill(past.mask()[users], -torch.inf), 200)
    is_hidden = hidden[users[:, None], lists].double()
    for rank in (1, 10, 50, 200):
        yield "false", f"top {rank}", seed, "by rank", is_hidden[:, :rank].mean().item()
    for rank in range(200):
        yield "false", f"rank {rank + 1}", seed, "at rank", is_hidden[:, rank].mean().item()
    unseen = ~past.mask()
    yield "false", "random unseen", seed, "by rank", hidden[users][unseen[users]].double().mean().item()
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(past), generator=generator)[:5_000]
    users = past.users[rows]
    for name in ("uniform", "popularity", *DIAL[1:]):
        drawn = draw(name, model, past, ~unseen, users, generator)
        yield "false", name, seed, "by sampler", hidden[users[:, None], drawn].double().mean().item()


class Nearness:
    """A recommender whose scores are minus the squared distances of user and item vectors."""

    def __init__(self, users: torch.Tensor, items: torch.Tensor) -> None:
        self.users, self.items = users.detach(), items.detach()

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Minus the squared distances, ``(len(users), n_items)``."""
        return -torch.cdist(self.users[users], self.items).square()


def collapse(data: MovieLens) -> Iterator[Row]:
    """Does training on the hardest negatives of the batch make all vectors equal?"""
    for seed in SEEDS:
        past, test = map(data.interactions, splits.random_split(data.ratings, seed=seed))
        rated = past.items.unique()
        for name in ("hardest", "hardest, length 1", "semi-hard", "random"):
            model = MatrixFactorization(past.n_users, past.n_items, biases=False, std=0.1, seed=seed)
            generator = torch.Generator().manual_seed(seed)
            batches = loop.batches(past.users, past.items, batch_size=BATCH, generator=generator)
            objective = batch_triplets(name, past, generator)
            history = loop.fit(model, batches, objective, epochs=2, lr=0.01)
            users, items = model.user_factors.weight, model.item_factors.weight
            if name.endswith("length 1"):
                users, items = normalize(users, dim=1), normalize(items, dim=1)
            yield "collapse", name, seed, "loss", history["loss"].iloc[-1]
            yield "collapse", name, seed, "spread", 2 * items[rated].var(dim=0).sum().item()
            found = measure_lists(Nearness(users, items), past, test)["ndcg@10"]
            yield "collapse", name, seed, "ndcg@10", found


def batch_triplets(name: str, data: Interactions, generator: torch.Generator) -> loop.Loss:
    """Triplets of user, item and one of the other items of the batch."""

    def loss(model: MatrixFactorization, batch: loop.Batch) -> torch.Tensor:
        users, items = batch
        p, v = model.user_factors(users), model.item_factors(items)
        if name.endswith("length 1"):
            p, v = normalize(p, dim=1), normalize(v, dim=1)
        scores = -torch.cdist(p.detach(), v.detach()).square()
        allowed = negatives.in_batch(data, users, items)
        if name == "random":
            scores = torch.rand(scores.shape, generator=generator)
        if name == "semi-hard":
            chosen = negatives.semi_hard(scores.diagonal(), scores, allowed=allowed)
        else:
            chosen = negatives.hard(scores, allowed=allowed)
        return losses.triplet_loss(p, v, v[chosen[:, 0]], margin=1.0)

    return loss


class Cosine:
    """A recommender whose scores are the cosines of user and item vectors."""

    def __init__(self, model: MatrixFactorization) -> None:
        self.users, self.items = (
            normalize(table.weight.detach(), dim=1) for table in (model.user_factors, model.item_factors)
        )

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Cosines, ``(len(users), n_items)``."""
        return self.users[users] @ self.items.T


def fit_triplets(data: Interactions, seed: int, margin: float) -> Cosine:
    """Triplets of user, item and one uniform negative, all vectors of length 1."""
    generator = torch.Generator().manual_seed(seed)
    model = MatrixFactorization(data.n_users, data.n_items, biases=False, std=0.1, seed=seed)

    def loss(m: MatrixFactorization, rows: loop.Batch) -> torch.Tensor:
        users, items = rows
        unseen_items = negatives.uniform(data, users, 1, generator=generator)[:, 0]
        unit: Callable[[torch.Tensor], torch.Tensor] = lambda x: normalize(x, dim=1)  # noqa: E731
        anchor = unit(m.user_factors(users))
        return losses.triplet_loss(anchor, unit(m.item_factors(items)), unit(m.item_factors(unseen_items)), margin)

    batches = loop.batches(data.users, data.items, batch_size=BATCH, generator=generator)
    loop.fit(model, batches, loss, epochs=3, lr=0.02, decay=True)
    return Cosine(model)


def forward_fold(data: MovieLens, cut: float) -> tuple[Interactions, Interactions]:
    """All ratings before a moment, and the next tenth of users who are known then."""
    rows = data.ratings.sort_values("timestamp", kind="stable")
    first, last = round(cut * len(rows)), round((cut + 0.1) * len(rows))
    past, future = rows.iloc[:first], rows.iloc[first:last]
    return data.interactions(past), data.interactions(future[future.user_id.isin(past.user_id)])


def margin(data: MovieLens) -> Iterator[Row]:
    """Four folds to choose by, each with a seed of its own; three seeds on the last fold, which is the test."""
    for number, cut in enumerate(CUTS):
        past, future = forward_fold(data, cut)
        for value in MARGINS:
            for seed in SEEDS if cut == CUTS[-1] else (number,):
                found = measure_lists(fit_triplets(past, seed, value), past, future)["ndcg@10"]
                yield "margin", value, seed, f"fold {cut}", found


PARTS = {part.__name__: part for part in (tune, samplers, collapse, margin)}


def main(wanted: list[str]) -> None:
    """Run the named experiments, all of them when none is named: about 20 minutes; each is written when done."""
    data = movielens()
    columns = ["experiment", "setting", "seed", "measure", "value"]
    for name in wanted or PARTS:
        rows = []
        for row in PARTS[name](data):
            rows.append(row)
            if row[3] != "at rank":
                print(*row, flush=True)
        write("ch11_negatives", pd.DataFrame(rows, columns=columns), keys=columns[:-1], keep_others=True)


if __name__ == "__main__":
    main(sys.argv[1:])
