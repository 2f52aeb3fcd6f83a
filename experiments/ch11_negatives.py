"""Which negatives should a model be shown? Chapter 11 shows ``results/ch11_negatives.csv``.

One row a number: ``experiment``, ``setting``, ``seed``, ``measure``, ``value``. All parts but ``margin`` train matrix
factorisation with biases and 32 factors by the sampled softmax loss: Adam, three epochs, a step size that falls from
0.02 to 0, batches of 512. Ten negatives a row, for ``in-batch`` all the others of the batch, for
``full softmax`` all unseen items. Miners choose ten out of a pool of fifty uniform ones.

- ``tune``: NDCG@10 by regularization, on a tenth of seed 0's training part. The other parts take the best one.
- ``samplers``: test NDCG@10, recall, coverage and novelty on ``random_split`` seeds 0, 1, 2; the full softmax has been
  left out, it takes as long as all the others.
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

import pandas as pd
import torch
from _tables import RESULTS, SEEDS, movielens, write
from torch.nn.functional import normalize

from course_utils import ranking
from course_utils.data import Interactions, MovieLens, splits
from course_utils.evaluation import measure_lists
from course_utils.learning import loop, losses, negatives
from course_utils.models.embedding_mf import MatrixFactorization

Row = tuple[str, str | float, int | str, str, float]
EPOCHS, LR, BATCH, NEGATIVES, POOL = 3, 0.02, 512, 10, 50
REGULARIZATIONS = (0.03, 0.1)
SAMPLERS = (
    "uniform",
    "popularity",
    "popularity, logQ",
    "in-batch",
    "in-batch, logQ",
    "hard",
    "semi-hard",
    "mixed",
    "full softmax",
)
MARGINS = (0.1, 0.2, 0.5, 1.0, 2.0)
CUTS = (0.5, 0.6, 0.7, 0.8, 0.9)


def draw(
    name: str, model: MatrixFactorization, data: Interactions, batch: loop.Batch, generator: torch.Generator
) -> torch.Tensor:
    """Ten negatives for each row, ``(B, 10)``, item codes."""
    users, items = batch
    if name.startswith("popularity"):
        return negatives.popularity(data, users, NEGATIVES, generator=generator)
    if name == "uniform":
        return negatives.uniform(data, users, NEGATIVES, generator=generator)
    pool = negatives.uniform(data, users, POOL, generator=generator)
    everything = model.score(users)  # (B, n_items): one product is cheaper than looking up a large pool
    scores = everything.gather(1, pool)
    if name == "semi-hard":
        positive = everything.gather(1, items[:, None])[:, 0]
        return pool.gather(1, negatives.semi_hard(positive, scores, NEGATIVES))
    hardest = pool.gather(1, negatives.hard(scores, NEGATIVES))
    if name == "hard":
        return hardest
    return negatives.mix(hardest, pool[:, :NEGATIVES], 0.3, generator=generator)


def in_batch_loss(name: str, model: MatrixFactorization, data: Interactions, batch: loop.Batch) -> torch.Tensor:
    """The other rows' positives as negatives, corrected or not."""
    users, items = batch
    scores = model.user_factors(users) @ model.item_factors(items).T  # (B, B)
    scores = scores + model.item_biases(items)[:, 0]
    others = scores.masked_fill(~negatives.in_batch(data, users, items), -torch.inf)
    log_q = None
    if name == "in-batch, logQ":
        log_q = negatives.log_popularity(data, 1)[items] + math.log(max(len(users) - 1, 1))
        log_q = log_q.expand_as(others)
    return losses.sampled_softmax_loss(scores.diagonal(), others, negative_log_q=log_q)


def sampled_loss(name: str, data: Interactions, generator: torch.Generator) -> loop.Loss:
    """The loss of a batch of users and items, with this sampler's negatives."""
    seen = data.mask()

    def loss(model: MatrixFactorization, batch: loop.Batch) -> torch.Tensor:
        users, items = batch
        if name.startswith("in-batch"):
            return in_batch_loss(name, model, data, batch)
        if name == "full softmax":
            scores = model.user_factors(users) @ model.item_factors.weight.T + model.item_biases.weight[:, 0]
            positive = scores.gather(1, items[:, None])[:, 0]
            return losses.sampled_softmax_loss(positive, scores.masked_fill(seen[users], -torch.inf))
        unseen_items = draw(name, model, data, batch, generator)
        log_q = None
        if name == "popularity, logQ":
            log_q = negatives.log_chance(data, users, unseen_items) + math.log(NEGATIVES)
        return losses.sampled_softmax_loss(
            model(users, items), model(users[:, None], unseen_items), negative_log_q=log_q
        )

    return loss


def fit(name: str, data: Interactions, seed: int, regularization: float) -> MatrixFactorization:
    """One training."""
    generator = torch.Generator().manual_seed(seed)
    model = MatrixFactorization(data.n_users, data.n_items, seed=seed)
    objective = sampled_loss(name, data, generator)
    return descend(
        model,
        loop.batches(data.users, data.items, batch_size=BATCH, generator=generator),
        lambda m, rows: {"softmax": objective(m, rows), "penalty": regularization * m.penalty(*rows)},
    )


def descend(model: MatrixFactorization, batches: loop.Batches, loss: loop.Loss) -> MatrixFactorization:
    """Three epochs of Adam with a falling step size."""
    loop.fit(model, batches, loss, epochs=EPOCHS, lr=LR, decay=True)
    return model


def tune(data: MovieLens) -> Iterator[Row]:
    """Each sampler's regularization, chosen inside the training part."""
    inner = splits.random_split(data.ratings, seed=0)[0]
    past, held_out = map(data.interactions, splits.random_split(inner, 0.1, seed=0))
    for name in SAMPLERS:
        for value in REGULARIZATIONS:
            found = measure_lists(fit(name, past, 0, value), past, held_out)["ndcg@10"]
            yield "tune", name, 0, str(value), found


def chosen() -> dict[str, float]:
    """The best regularization of each sampler, from the table of part ``tune``."""
    table = pd.read_csv(RESULTS / "ch11_negatives.csv")
    values = table[table.experiment == "tune"].pivot(index="setting", columns="measure", values="value")
    return values.idxmax(axis=1).astype(float).to_dict()


def samplers(data: MovieLens) -> Iterator[Row]:
    """Same model, same loss, other negatives; the model of uniform ones then judges all of them."""
    best = chosen()
    for seed in SEEDS:
        past, test = map(data.interactions, splits.random_split(data.ratings, seed=seed))
        for name in SAMPLERS[:-1]:  # three seeds of the full softmax would take as long as all of these
            model = fit(name, past, seed, best[name])
            found = measure_lists(model, past, test)
            for measure in ("ndcg@10", "recall@10", "coverage@10", "novelty@10"):
                yield "samplers", name, seed, measure, found[measure]
            if name == "uniform":
                yield from false_negatives(model, past, test, seed)


def false_negatives(model: MatrixFactorization, past: Interactions, test: Interactions, seed: int) -> Iterator[Row]:
    """Share of hidden positives among the unseen, by rank and by sampler."""
    hidden, users = test.mask(), test.users.unique()
    lists = ranking.top_k(model.score(users).masked_fill(past.mask()[users], -torch.inf), 200)
    is_hidden = hidden[users[:, None], lists].double()
    for rank in (1, 10, 50, 200):
        yield "false", f"top {rank}", seed, "by rank", is_hidden[:, :rank].mean().item()
    for rank in range(200):
        yield "false", f"rank {rank + 1}", seed, "at rank", is_hidden[:, rank].mean().item()
    unseen = ~past.mask()[users]
    yield "false", "random unseen", seed, "by rank", hidden[users][unseen].double().mean().item()
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(past), generator=generator)[:20_000]
    batch = past.users[rows], past.items[rows]
    for name in ("uniform", "popularity", "mixed", "semi-hard", "hard"):
        drawn = draw(name, model, past, batch, generator)
        yield "false", name, seed, "by sampler", hidden[batch[0][:, None], drawn].double().mean().item()


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

    descend(model, loop.batches(data.users, data.items, batch_size=BATCH, generator=generator), loss)
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
    """Run the named experiments, all of them when none is named: about six minutes; each is written when done."""
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
