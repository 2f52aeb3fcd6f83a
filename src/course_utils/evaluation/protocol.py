"""The common protocol: fit elsewhere, then rank, mask, measure and compare here; taught in chapter 3.

``train`` and ``test`` are ``Interactions`` with the same user and item ids.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from course_utils import ranking
from course_utils.data.interactions import Interactions, as_codes
from course_utils.errors import InputError, check_counts
from course_utils.evaluation import beyond_accuracy, metrics
from course_utils.models.base import RatingModel, Recommender

_PER_USER = {
    "ndcg": metrics.ndcg_at_k,
    "map": metrics.average_precision_at_k,
    "recall": metrics.recall_at_k,
    "capped_recall": metrics.capped_recall_at_k,
    "precision": metrics.precision_at_k,
    "hit_rate": metrics.hit_rate_at_k,
    "mrr": metrics.reciprocal_rank_at_k,
}


def measure_lists(
    model: Recommender,
    train: Interactions,
    test: Interactions,
    k: int = 10,
    *,
    relevant_from: float | None = None,
    mask_train: bool = True,
    batch_size: int = 1024,
) -> pd.Series:
    """Quality of a model's lists under the common protocol: all items ranked, train items masked.

    Args:
        model: a fitted recommender.
        train: what the model was fitted on; its items are never recommended to the same user again.
        test: the interactions to find. Users without a relevant one are left out.
        k: length of the lists.
        relevant_from: a test interaction counts as relevant from this rating on; all count when left out.
        mask_train: False ranks the train items too, for data where people buy a thing again.
        batch_size: users scored at a time; memory grows with ``batch_size * n_items``, not with the users.

    Returns:
        Means over users of ndcg, map, recall, capped_recall, precision, hit_rate, mrr and novelty, then coverage
        and gini of all lists together; the keys read ``"ndcg@10"``. Novelty is in bits; an item that no training
        user knows counts as known to one.

    Raises:
        InputError: the ids differ, no user has a relevant test item, the model's scores have the wrong shape or
            are nan, or with ``mask_train`` a test interaction is in ``train`` too.
    """
    per_user, lists = _evaluate(model, train, test, k, relevant_from, mask_train, batch_size)
    together = {
        f"coverage@{k}": beyond_accuracy.catalog_coverage(lists, train.n_items),
        f"gini@{k}": beyond_accuracy.gini(lists, train.n_items),
    }
    return pd.concat([per_user.mean(), pd.Series(together)])


def measure_lists_per_user(
    model: Recommender,
    train: Interactions,
    test: Interactions,
    k: int = 10,
    *,
    relevant_from: float | None = None,
    mask_train: bool = True,
    batch_size: int = 1024,
) -> pd.DataFrame:
    """The values that :func:`measure_lists` averages, for :func:`bootstrap_interval` and :func:`paired_test`.

    Takes and refuses the same arguments.

    Returns:
        One row a user with a relevant test item, indexed by ``user_id`` in code order; one column a metric.
    """
    return _evaluate(model, train, test, k, relevant_from, mask_train, batch_size)[0]


def measure_ratings(
    model: RatingModel, test: Interactions, *, rating_range: tuple[float, float] | None = (1.0, 5.0)
) -> pd.Series:
    """Errors of predicted ratings, pooled over all test pairs.

    Args:
        model: a fitted rating model; it must predict every pair, whether it has seen the user and item or not.
        test: the ratings to predict.
        rating_range: predictions are clipped to it, MovieLens' one to five stars if not said otherwise; None
            leaves them as they are.

    Returns:
        ``"rmse"`` and ``"mae"``, in rating units.

    Raises:
        InputError: ``test`` is empty, or a prediction is missing or nan.
    """
    if rating_range is not None and not rating_range[0] < rating_range[1]:
        raise InputError("rating_range", got=rating_range, expected="(lowest, highest)")
    with torch.no_grad():
        predicted = model.predict(test.users, test.items)
    if rating_range is not None:
        predicted = predicted.clamp(*rating_range)  # nan stays nan, and the metrics refuse it
    return pd.Series(
        {"rmse": metrics.rmse(predicted, test.ratings), "mae": metrics.mae(predicted, test.ratings)}
    )


def recommend(
    model: Recommender, users: torch.Tensor, k: int = 10, exclude: Interactions | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best items of some users, and their scores.

    Args:
        model: a fitted recommender.
        users: user codes, ``(n,)``.
        k: length of the lists.
        exclude: interactions whose items their users shall not get again, usually the training part.

    Returns:
        ``(items, scores)``, both ``(n, k)``, best first; -1 and ``-inf`` where a user has no item left.
    """
    users = as_codes(users, "users")
    return _rank(model, users, k, exclude.csr(binary=True) if exclude is not None else None)


def _evaluate(
    model: Recommender,
    train: Interactions,
    test: Interactions,
    k: int,
    relevant_from: float | None,
    mask_train: bool,
    batch_size: int,
) -> tuple[pd.DataFrame, torch.Tensor]:
    """Values a user and the lists, ``(n_users, k)``."""
    _check_pair(train, test, mask_train)
    check_counts(batch_size=batch_size)
    counts = (
        torch.ones_like(test.ratings, dtype=torch.bool)
        if relevant_from is None
        else test.ratings >= relevant_from
    )
    rows, columns = test.users[counts], test.items[counts]
    rows, order = rows.sort()
    columns = columns[order]
    if len(rows) == 0:
        raise InputError("test", got="no relevant interaction", expected="at least one user with one")
    seen = train.csr(binary=True) if mask_train else None
    known = torch.bincount(train.items, minlength=train.n_items).clamp(min=1)
    share = (known / max(1, len(train.users.unique()))).clamp(max=1)
    values, lists = [], []
    for users in rows.unique().split(int(batch_size)):
        recommended, _ = _rank(model, users, k, seen)
        relevant = torch.zeros(len(users), test.n_items, dtype=torch.bool)
        mine = slice(*torch.searchsorted(rows, torch.stack([users[0], users[-1] + 1])).tolist())
        relevant[torch.searchsorted(users, rows[mine]), columns[mine]] = True
        hits = metrics.find_hits(recommended, relevant, k)
        found = {f"{name}@{k}": metric(recommended, hits, k) for name, metric in _PER_USER.items()}
        found[f"novelty@{k}"] = beyond_accuracy.novelty(recommended, share)
        values.append(pd.DataFrame({name: value.numpy() for name, value in found.items()}))
        lists.append(recommended)
    table = pd.concat(values, ignore_index=True)
    table.index = pd.Index(test.user_ids[rows.unique().numpy()], name="user_id")
    return table, torch.cat(lists)


def _rank(model: Recommender, users: torch.Tensor, k: int, seen: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Lists of some users and the scores in them, seen items masked."""
    with torch.no_grad():
        scores = ranking.as_scores(model.score(users))
    if (
        scores.ndim != 2
        or len(scores) != len(users)
        or (seen is not None and scores.shape[1] != seen.shape[1])
    ):
        wanted = f"shape ({len(users)}, {'n_items' if seen is None else seen.shape[1]})"
        raise InputError("model.score(users)", got=f"shape {tuple(scores.shape)}", expected=wanted)
    if seen is not None:
        pairs = seen[users.numpy()].tocoo()
        row, column = (torch.from_numpy(codes.astype(np.int64)) for codes in (pairs.row, pairs.col))
        scores = scores.index_put((row, column), torch.tensor(-torch.inf, dtype=scores.dtype))  # a copy
    items = ranking.top_k(scores, k)
    return items, scores.gather(1, items.clamp(min=0)).masked_fill(items < 0, -torch.inf)


def _check_pair(train: Interactions, test: Interactions, mask_train: bool) -> None:
    """Refuse two parts that do not share their codes, or share a pair."""
    for side in ("user_ids", "item_ids"):
        if not getattr(train, side).equals(getattr(test, side)):
            expected = f"the same {side} as train: give both to Interactions.from_frame"
            raise InputError("test", got=f"{side} that differ from train's", expected=expected)
    if mask_train:
        both = torch.isin(test.users * test.n_items + test.items, train.users * train.n_items + train.items)
        if both.any():
            found = f"{int(both.sum())} interaction(s) that are in train too"
            raise InputError("test", got=found, expected="none: they would be masked (or mask_train=False)")
