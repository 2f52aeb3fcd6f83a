"""Which ranking loss finds films best? Same model, same batches, same search. Chapter 10 shows the tables.

    python experiments/ch10_ranking_losses.py            all of it: about twenty minutes
    python experiments/ch10_ranking_losses.py compare    the settings stay, only the comparison

Every loss trains the same tables (``MatrixFactorization`` with 32 factors) on the same batches of slates
(``course_utils.learning.slates``: 5 positives of a user, 25 unseen items), with Adam whose step falls from 0.03 to 0 in
a straight line. The triplet loss scores by minus the squared distance, all others by the dot product.

Losses differ in size, and a penalty of given weight would hold back a small loss more. So each loss is first divided by
its force: the sum of the pushes on the positives of a full slate whose scores are all (nearly) equal. Then one search
serves them all, by NDCG@10 on a validation part, a fifth of each user's ratings in the training part of seed 0
(``results/ch10_ranking_losses_grid.csv``): with 8 epochs five penalties with steps of 2, then the neighbours of the
best one with steps of the root of 2, and on, until both are worse; with the best penalty more and fewer epochs, with
steps of about 1.5, until both neighbours are worse, 27 at most. The best setting serves all three seeds, with four
fifths of its penalty: the validated models had four fifths of the ratings, and a penalty is a prior's weight beside a
*mean* loss, which goes with one over their number. "BPR, pooled" takes BPR's setting.

- ``results/ch10_ranking_losses.csv``: a row a search, loss and seed, on ``random_split`` seeds 0, 1, 2: setting,
NDCG@10, mean AUC. The search is the "whole" one, or a "coarse" one at which a race may have stopped: 8 epochs, the best
of the five penalties or the same with a step of 0.06, as it is.
- ``results/ch10_ranking_losses_pairs.csv``: each two losses after the whole search, by the user's mean NDCG@10 over
the seeds, paired.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from itertools import combinations, product

import pandas as pd
import torch
from _tables import RESULTS, SEEDS, movielens, write
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from course_utils.data import Interactions, splits
from course_utils.evaluation import measure_lists, measure_lists_per_user, metrics, paired_test
from course_utils.learning import loop, losses
from course_utils.learning.slates import Slates
from course_utils.models.embedding_mf import MatrixFactorization

ITEMS, STEP, LARGER_STEP = 1682, 0.03, 0.06
PENALTIES = (0.01, 0.014, 0.02, 0.028, 0.04, 0.057, 0.08, 0.113, 0.16, 0.226, 0.32)  # every second is tried first
EPOCHS = (5, 8, 12, 18, 27)
Objective = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def pointwise(loss: Callable) -> Objective:
    """A loss of single scores and their labels, 1 or 0."""
    return by_list(lambda scores, relevance, mask: loss(scores[mask], relevance[mask]))


def by_list(loss: Callable) -> Objective:
    """A loss of scores, relevance and mask, ``(B, slate)``."""

    def objective(positive: torch.Tensor, negative: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        scores = torch.cat([positive, negative], dim=1)
        relevance = torch.cat([torch.ones_like(positive), torch.zeros_like(negative)], dim=1)
        mask = torch.cat([real, torch.ones_like(negative, dtype=torch.bool)], dim=1)
        return loss(scores, relevance, mask)

    return objective


def by_positive(loss: Callable) -> Objective:
    """A loss of positives, ``(rows,)``, and all negatives of their slates, ``(rows, negatives)``."""

    def objective(positive: torch.Tensor, negative: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        rows = negative[:, None, :].expand(-1, positive.shape[1], -1)  # (B, positives, negatives)
        return loss(positive[real], rows[real])

    return objective


def by_pair(loss: Callable) -> Objective:
    """A loss of pairs inside a slate."""
    return by_positive(lambda ahead, behind: loss(ahead[:, None].expand_as(behind), behind))


def pooled(objective: Objective) -> Objective:
    """The clinic's fault: the positives of one slate meet the negatives of the next, another user's."""
    return lambda positive, negative, real: objective(positive, negative.roll(1, dims=0), real)


LOSSES: dict[str, Objective] = {
    "MSE": pointwise(mse_loss),
    "BCE": pointwise(binary_cross_entropy_with_logits),
    "hinge": by_pair(losses.hinge_loss),
    "BPR": by_pair(losses.bpr_loss),
    "BPR, pooled": pooled(by_pair(losses.bpr_loss)),
    "triplet": by_pair(losses.hinge_loss),  # of minus squared distances, which is the triplet loss
    "WARP": by_positive(lambda ahead, behind: losses.warp_loss(ahead, behind, ITEMS)),
    "softmax": by_positive(losses.sampled_softmax_loss),
    "ListNet": by_list(losses.listnet_loss),
    "ListMLE": by_list(losses.listmle_loss),
    "LambdaRank": by_list(losses.lambdarank_loss),
}


class Metric(MatrixFactorization):
    """The same tables, scored by minus the squared distance of two rows."""

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Scores of pairs, ``(B, n)``."""
        return -(self.user_factors(users) - self.item_factors(items)).square().sum(-1)

    @torch.no_grad()
    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Scores of all items, ``(len(users), n_items)``."""
        return -torch.cdist(self.user_factors(users), self.item_factors.weight).square()


def force(objective: Objective, *, positives: int = 5, negatives: int = 25) -> float:
    """How hard a loss pushes up the positives of a slate, all together, when the scores hardly differ."""
    generator = torch.Generator().manual_seed(0)
    positive, negative = (
        (1e-6 * torch.randn(1000, n, generator=generator)).requires_grad_() for n in (positives, negatives)
    )
    objective(positive, negative, torch.ones_like(positive, dtype=torch.bool)).backward()
    return -positive.grad.sum().item()


def penalty(module: MatrixFactorization, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """``module.penalty``, by counts: each row of the tables is squared once."""
    total = torch.zeros(())
    for codes, table in ((users, module.user_factors.weight), (items, module.item_factors.weight)):
        counts = torch.bincount(codes, minlength=len(table)).to(table.dtype)
        total = total + counts @ table.square().sum(1) / len(codes)
    return total


def fitted(
    name: str, past: Interactions, *, seed: int, lr: float, epochs: int, regularization: float
) -> MatrixFactorization:
    """One loss trained on slates, with its force taken out."""
    model = (Metric if name == "triplet" else MatrixFactorization)(past.n_users, past.n_items, seed=seed)
    batches = Slates(past, generator=torch.Generator().manual_seed(seed))
    objective, unit = LOSSES[name], force(LOSSES[name])

    def loss(module: MatrixFactorization, batch: loop.Batch) -> torch.Tensor:
        users, positives, real, negatives = batch
        scores = module(users[:, None], torch.cat([positives, negatives], dim=1))
        positive, negative = scores.split([positives.shape[1], negatives.shape[1]], dim=1)
        held = penalty(module, users, torch.cat([positives[real], negatives.flatten()]))
        return objective(positive, negative, real) / unit + regularization * held

    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    loop.fit(model, batches, loss, epochs=epochs, optimizer=optimizer, decay=True)
    return model


def user_auc(model: MatrixFactorization, past: Interactions, test: Interactions) -> float:
    """Mean over users of the chance that a test item stands above an item that the user never met."""
    users = test.users.unique()
    rows = zip(model.score(users), ~past.mask()[users], test.mask()[users], strict=True)
    values = [metrics.auc(scores[new], relevant[new]) for scores, new, relevant in rows]
    return sum(values) / len(values)


def validated(name: str, past: Interactions, held_out: Interactions, **setting: float) -> float:
    """NDCG@10 on the validation part, four decimals."""
    model = fitted(name, past, seed=0, **setting)
    return round(measure_lists(model, past, held_out)["ndcg@10"], 4)


def climb(grid: tuple, start: float, measure: Callable[[float], float]) -> float:
    """From a value of a grid to the next better one, until both neighbours are worse."""
    while True:
        place = grid.index(start)
        best = max(grid[max(place - 1, 0) : place + 2], key=measure)
        if measure(best) <= measure(start):
            return start
        start = best


def search() -> None:
    """Penalties coarse, a larger step; penalties fine, then epochs: the same for each loss."""
    data, rows = movielens(), []
    parts = splits.random_split(splits.random_split(data.ratings, seed=0)[0], seed=0)
    past, held_out = map(data.interactions, parts)

    @cache
    def measure(name: str, lr: float, epochs: int, regularization: float) -> float:
        setting = {"lr": lr, "epochs": epochs, "regularization": regularization}
        found = validated(name, past, held_out, **setting)
        rows.append({"loss": name, **setting, "ndcg@10": found})
        print(*rows[-1].values(), flush=True)
        return found

    for name in LOSSES:
        if name == "BPR, pooled":
            continue
        penalty = max(PENALTIES[2::2], key=lambda value, name=name: measure(name, STEP, 8, value))
        measure(name, LARGER_STEP, 8, penalty)
        penalty = climb(PENALTIES, penalty, lambda value, name=name: measure(name, STEP, 8, value))
        climb(EPOCHS, 8, lambda value, name=name, penalty=penalty: measure(name, STEP, value, penalty))
    write("ch10_ranking_losses_grid", pd.DataFrame(rows), keys=["loss", "lr", "epochs", "regularization"])


def settings(search: str, name: str, tried: pd.DataFrame) -> dict[str, float]:
    """Step size, epochs and penalty of a loss, as one of the two searches chose them."""
    tried = tried[tried["loss"] == name.removesuffix(", pooled")]
    if search == "coarse":
        tried, share = tried[(tried.epochs == 8) & tried.regularization.isin(PENALTIES[2::2])], 1.0
    else:
        tried, share = tried[tried.lr == STEP], 0.8  # beside a mean over more ratings the same prior weighs less
    best = tried.sort_values("ndcg@10", kind="stable").iloc[-1]
    penalty = round(share * best["regularization"], 4)
    return {"lr": best["lr"], "epochs": int(best["epochs"]), "regularization": penalty}


def compare() -> None:
    """The best setting of each loss on three splits, and each two losses against each other."""
    tried = pd.read_csv(RESULTS / "ch10_ranking_losses_grid.csv")
    data, rows, users = movielens(), [], []
    for search, seed in product(("coarse", "whole"), SEEDS):
        past, test = map(data.interactions, splits.random_split(data.ratings, seed=seed))
        for name in LOSSES:
            if search == "coarse" and name == "BPR, pooled":
                continue
            setting = settings(search, name, tried)
            model = fitted(name, past, seed=seed, **setting)
            ndcg = measure_lists_per_user(model, past, test)["ndcg@10"]
            auc = user_auc(model, past, test)
            users += [ndcg.rename((name, seed))] if search == "whole" else []
            rows.append({"search": search, "loss": name, "seed": seed, **setting, "ndcg@10": ndcg.mean(), "auc": auc})
            print(f"{search} {name:<12} seed {seed}  {ndcg.mean():.4f}  {auc:.4f}", flush=True)
    write("ch10_ranking_losses", pd.DataFrame(rows), keys=["search", "loss", "seed"])
    per_user = pd.concat(users, axis=1)
    pairs = []
    for a, b in combinations(LOSSES, 2):
        found = paired_test(per_user[a].mean(axis=1), per_user[b].mean(axis=1))
        by_seed = (per_user[a] - per_user[b]).mean()
        pairs.append({"a": a, "b": b, **found._asdict(), "least": by_seed.min(), "most": by_seed.max()})
    write("ch10_ranking_losses_pairs", pd.DataFrame(pairs), keys=["a", "b"])


if __name__ == "__main__":
    if "compare" not in sys.argv[1:]:
        search()
    compare()
