"""The common protocol: fit elsewhere, then rank, mask, measure and compare here; taught in chapter 3.

``train`` and ``test`` are ``Interactions`` with the same user and item ids.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor

from course_utils import ranking
from course_utils.data.interactions import Interactions, as_codes, check_interactions
from course_utils.errors import InputError, check_shape, refuse
from course_utils.evaluation import beyond_accuracy, metrics
from course_utils.models.base import RatingModel, Recommender, fold_in

_PER_USER = {
    "ndcg": metrics.ndcg_at_k,
    "map": metrics.average_precision_at_k,
    "recall": metrics.recall_at_k,
    "capped_recall": metrics.capped_recall_at_k,
    "precision": metrics.precision_at_k,
    "hit_rate": metrics.hit_rate_at_k,
    "mrr": metrics.reciprocal_rank_at_k,
}
_USERS_AT_A_TIME = 1024  # memory grows with it: scores are (1024, n_items)
Lists = tuple[Tensor, Tensor]  # items and their scores, best first, both (n, k)


def measure_lists(
    model: Recommender, train: Interactions, test: Interactions, k: int = 10, *, mask_train: bool = True
) -> pd.Series:
    """Quality of a fitted model's lists of k items: all items ranked, train items masked, means over users.

    Users without an interaction in ``test`` are left out. ``mask_train=False`` ranks the train items too, for data
    where people buy a thing again. The keys read ``"ndcg@10"``: ndcg, map, recall, capped_recall, precision, hit_rate,
    mrr and novelty (in bits; each item is known to one user at least), then coverage and gini of all lists together.
    """
    per_user, lists = _evaluate(model, train, test, k, mask_train)
    together = {"coverage": beyond_accuracy.catalog_coverage, "gini": beyond_accuracy.gini}
    of_all = {f"{name}@{k}": measure(lists, train.n_items) for name, measure in together.items()}
    return pd.concat([per_user.mean(), pd.Series(of_all)])


def measure_lists_per_user(
    model: Recommender, train: Interactions, test: Interactions, k: int = 10, *, mask_train: bool = True
) -> pd.DataFrame:
    """What :func:`measure_lists` averages: a row a user, by ``user_id`` in code order, a column a metric."""
    return _evaluate(model, train, test, k, mask_train)[0]


def measure_ratings(model: RatingModel, test: Interactions, *, rating_range: tuple | None = None) -> pd.Series:
    """Errors of predicted ratings, clipped to ``rating_range``, over all test pairs: ``"rmse"`` and ``"mae"``.

    Left out, the range is that of ``test``'s whole table; if it is not known, 1 to 5 where all ratings are, else none.
    """
    if not hasattr(model, "predict"):
        raise InputError("model", got=type(model).__name__, expected="one that predicts ratings; lists: measure_lists")
    stars = (1.0, 5.0) if ((test.ratings >= 1) & (test.ratings <= 5)).all() else (-np.inf, np.inf)
    rating_range = rating_range or test.rating_range or stars
    refuse(not rating_range[0] < rating_range[1], "rating_range", rating_range, "(lowest, highest)")
    with torch.no_grad():
        predicted = model.predict(test.users, test.items).clamp(*rating_range)  # nan stays, and the metrics refuse it
    return pd.Series({"rmse": metrics.rmse(predicted, test.ratings), "mae": metrics.mae(predicted, test.ratings)})


def recommend(model: Recommender, users: Tensor, k: int = 10, exclude: Interactions | None = None) -> Lists:
    """The k best items of some users, those of ``exclude`` left out, and their scores; -1 and ``-inf`` for no item."""
    n_items, seen = ("n_items", None) if exclude is None else (exclude.n_items, exclude.csr(binary=True))
    parts = as_codes(users, "users").split(_USERS_AT_A_TIME)
    lists, scores = zip(*[_rank(model, part, k, n_items, seen) for part in parts], strict=True)
    return torch.cat(lists), torch.cat(scores)


def recommend_for(
    model: Recommender,
    train: Interactions,
    user_id: object = None,
    k: int = 10,
    *,
    history: Iterable | None = None,
    items: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The k best items of one person, by id, without those she has: ``item_id score``, best first; taught in chapter 5.

    She is a ``user_id`` of ``train``, to which the model was fitted, or a new person: then ``history`` has the ids of
    her items, or ``{id: rating}``, and the model must know :func:`course_utils.models.base.fold_in`. With ``items``,
    ``item_id title`` of all items, such as ``table.items``, there is a column ``title``.
    """
    refuse((user_id is None) == (history is None), "user_id", f"{user_id!r} and history={history!r}", "one of the two")
    if history is None:
        code = train.user_ids.get_indexer([user_id])
        if code[0] < 0:  # only then: it looks at all ids
            some = f"of type {pd.api.types.infer_dtype(train.user_ids)}, such as {train.user_ids[:2].tolist()}"
            raise InputError("user_id", got=repr(user_id), expected=f"one of {train.n_users} ids {some}")
        found, scores = recommend(model, torch.from_numpy(code), k, train)
    else:
        ids = [] if isinstance(history, str) else list(history)
        refuse(not ids, "history", repr(history), "a list of item ids, one or more")
        table = pd.DataFrame({"user_id": 0, "item_id": ids})
        if isinstance(history, Mapping):
            table["rating"] = list(history.values())
        part = Interactions.from_frame(table, user_ids=[0], item_ids=train.item_ids, rating_range=train.rating_range)
        values = fold_in(model, part)
        values[part.users, part.items] = -torch.inf
        found = ranking.top_k(values, k)
        scores = values.gather(1, found.clamp(min=0))
    best = found[0][found[0] >= 0]
    table = pd.DataFrame({"item_id": train.item_ids[best.numpy()], "score": scores[0][: len(best)].numpy()})
    return table if items is None else table.assign(title=_titles(items, table["item_id"]))


def _titles(items: pd.DataFrame, wanted: pd.Series) -> np.ndarray:
    """A title for each id that is wanted, nan where an item has none."""
    names = list(getattr(items, "columns", []))
    got = f"columns {names}" if names else type(items).__name__
    expected = "the columns 'item_id' and 'title': rename yours, or leave items out and read ids"
    refuse(not {"item_id", "title"} <= set(names), "items", got, expected)
    ids, theirs = (pd.api.types.infer_dtype(values) for values in (wanted, items["item_id"]))
    if ids != theirs and len(wanted) and not wanted.isin(items["item_id"]).any():
        raise InputError("items", got=f"ids of type {theirs}", expected=f"ids of type {ids}, as in train")
    return items.drop_duplicates("item_id").set_index("item_id")["title"].reindex(wanted).to_numpy()


def _evaluate(
    model: Recommender, train: Interactions, test: Interactions, k: int, mask_train: bool
) -> tuple[pd.DataFrame, Tensor]:
    """Values a user and the lists, ``(n_users, k)``."""
    check_interactions(train=train, test=test)
    for side in ("user_ids", "item_ids"):
        if not getattr(train, side).equals(getattr(test, side)):
            raise InputError("test", got=f"{side} that differ from train's", expected="the same as train")
    known, pairs = (part.users * part.n_items + part.items for part in (train, test))
    if mask_train and torch.isin(pairs, known).any():
        found = f"{int(torch.isin(pairs, known).sum())} interaction(s) that are in train too"
        raise InputError("test", got=found, expected="none, for they are masked, or mask_train=False")
    all_users = test.users.unique()
    refuse(len(all_users) == 0, "test", "no interaction", "at least one")
    wanted = test.csr(binary=True).astype(bool)
    seen = train.csr(binary=True) if mask_train else None
    popularity = torch.bincount(train.items, minlength=train.n_items).clamp(min=1)
    share = (popularity / max(1, len(train.users.unique()))).clamp(max=1)
    values, lists = [], []
    for users in all_users.split(_USERS_AT_A_TIME):
        recommended, _ = _rank(model, users, k, train.n_items, seen)
        relevant = torch.from_numpy(wanted[users.numpy()].toarray())  # (users, n_items)
        hits = metrics.find_hits(recommended, relevant, k)
        found = {name: metric(recommended, hits, k).numpy() for name, metric in _PER_USER.items()}
        found["novelty"] = beyond_accuracy.novelty(recommended, share).numpy()
        values.append(pd.DataFrame(found))
        lists.append(recommended)
    table = pd.concat(values, ignore_index=True).add_suffix(f"@{k}")
    table.index = pd.Index(test.user_ids[all_users.numpy()], name="user_id")
    return table, torch.cat(lists)


def _rank(model: Recommender, users: Tensor, k: int, n_items: int | str, seen: sparse.csr_array | None) -> Lists:
    """Lists of some users and the scores in them, seen items masked."""
    with torch.no_grad():
        scores = ranking.as_scores(model.score(users))
    check_shape(len(users), n_items, **{"model.score(users)": scores})
    if seen is not None:
        pairs = seen[users.numpy()].tocoo()
        row, column = (torch.from_numpy(codes.astype(np.int64)) for codes in (pairs.row, pairs.col))
        scores = scores.index_put((row, column), torch.tensor(-torch.inf, dtype=scores.dtype))  # a copy
    items = ranking.top_k(scores, k)
    return items, scores.gather(1, items.clamp(min=0)).masked_fill(items < 0, -torch.inf)
