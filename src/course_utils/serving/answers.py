"""From a history to a list with reasons; taught in chapter 21."""

from itertools import islice

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from usearch.index import Index

from course_utils.data.interactions import Interactions
from course_utils.data.table import Table
from course_utils.errors import refuse
from course_utils.evaluation.protocol import recommend_for
from course_utils.models.als import ImplicitALS
from course_utils.models.base import Recommender, fold_in
from course_utils.ranking import top_k

_NUMBERS = 2_000_000  # in the largest table of scores that reasons need, 16 MB in float64


def reasons(model: Recommender, history: Interactions, items: Tensor, shared: Tensor | None = None) -> Tensor:
    r"""How much of each item's score comes from each row of one person's history, ``(len(history), len(items))``.

    Of ImplicitALS it is :math:`(1 + \alpha r_h)\, q_i^\top W^{-1} q_h`, W being her matrix (chapter 5). Of any other
    model it is what the score loses without the row: of EASE and ItemKNN, without decay, a weight. Of these three the
    parts sum to the score. ``shared`` is :math:`Q^\top Q + \lambda I`, for who has it already.
    """
    n, stars = len(history), history.ratings
    if isinstance(model, ImplicitALS):
        W, q, right = _equations(model, history.items, stars, shared)
        return right[:, None] * (q @ torch.linalg.solve(W, model.item_factors[items].mT))
    scores, parts = fold_in(model, history)[0, items], []
    if n == 1:
        return scores[None]
    for left_out in torch.arange(n).split(max(1, _NUMBERS // history.n_items)):
        users, kept = (left_out[:, None] != torch.arange(n)).nonzero().T  # a user for each row that is left out
        people = pd.RangeIndex(int(users.max()) + 1)
        each = Interactions(users, history.items[kept], stars[kept], users * 0, people, history.item_ids)
        parts.append(scores - fold_in(model, each)[:, items])
    return torch.cat(parts)


def _equations(model: ImplicitALS, items: Tensor, stars: Tensor, shared: Tensor | None) -> tuple[Tensor, ...]:
    """A person's matrix W, the vectors of her items, and the weight of each on the right side: W p = q' right."""
    Q, extra = model.item_factors, model.alpha * stars
    shared = Q.mT @ Q + model.regularization * torch.eye(Q.shape[1], dtype=Q.dtype) if shared is None else shared
    return shared + (extra * Q[items].mT) @ Q[items], Q[items], 1 + extra


class Answers:
    """A fitted model that knows ``fold_in``, and its table; an ``index`` finds candidates, whose scores are exact."""

    def __init__(self, model: Recommender, table: Table, *, index: bool = False) -> None:
        self.model, self.known, self._index, self._shared = model, table.interactions(), None, None
        self.ids = self.known.item_ids.tolist()
        self.codes = {each: code for code, each in enumerate(self.ids)}
        self._titles = table.items.get("title", table.items["item_id"]).astype(str).tolist()
        self._raters = torch.bincount(self.known.items, minlength=len(self.ids)).double()
        fold_in(model, self._history(torch.tensor([0]), torch.ones(1)))  # refuses now, or never
        if isinstance(model, ImplicitALS):
            Q = model.item_factors
            self._shared = _equations(model, torch.tensor([0]), torch.zeros(1), None)[0]
        if index:
            refuse(self._shared is None, "index", type(model).__name__, "ImplicitALS: users and items are vectors")
            self._index = Index(ndim=Q.shape[1], metric="ip", dtype="f32", connectivity=32, expansion_search=256)
            self._index.add(np.arange(len(Q)), Q.float().numpy(), threads=1)

    def code(self, item: int | str) -> int:
        """The code of an item id; a sentence for one that is unknown."""
        refuse(item not in self.codes, "item", repr(item)[:60], f"one of the {len(self.ids):,} item ids")
        return self.codes[item]

    def named(self, code: int, **more: object) -> dict:
        """An item as the service says it."""
        return {"item": self.ids[code], "title": self._titles[code], **more}

    def search(self, text: str) -> list[dict]:
        """The twelve most rated items with these words in their titles."""
        words, order = text.lower().split(), self._raters.argsort(descending=True, stable=True).tolist()
        found = (code for code in order if all(word in self._titles[code].lower() for word in words))
        return [self.named(code) for code in islice(found, 12)]

    def recommend(self, history: dict[int | str, float], k: int = 10, *, why: bool = True) -> list[dict]:
        """What :func:`recommend_for` gives for ``{item: rating}``, the oldest first; for no history, the most rated.

        ``because`` has at most two items of hers: those that carry most of the score, by :func:`reasons`.
        """
        if not history:
            best = top_k(self._raters[None], k)[0].tolist()
            return [self.named(code, score=float(self._raters[code]), because=[]) for code in best]
        mine = self._history(torch.tensor([*map(self.code, history)]), torch.tensor([*history.values()]))
        if self._index is None:
            table = recommend_for(self.model, self.known, k=k, history=history)
            best, scores = torch.tensor([*map(self.code, table["item_id"])]), table["score"].tolist()
        else:
            best, scores = self._nearest(mine, k)
        carried, made = reasons(self.model, mine, best, self._shared).T.tolist() if why else [[]] * len(best), []
        for code, score, part in zip(best.tolist(), scores, carried, strict=True):
            two = sorted(range(len(part)), key=part.__getitem__, reverse=True)[:2]
            because = [self.named(int(mine.items[row]), carries=part[row]) for row in two if part[row] > 0]
            made.append(self.named(code, score=score, because=because))
        return made

    def _nearest(self, mine: Interactions, k: int) -> tuple[Tensor, list[float]]:
        """The best of the items that the index finds, and their scores."""
        W, q, right = _equations(self.model, mine.items, mine.ratings, self._shared)
        p = torch.linalg.solve(W, right @ q)
        found = self._index.search(p.float().numpy(), k + len(mine), threads=1).keys.astype(np.int64)
        found = torch.from_numpy(found[~np.isin(found, mine.items.numpy())])
        scores, order = (self.model.item_factors[found] @ p).sort(descending=True, stable=True)
        return found[order][:k], scores[:k].tolist()

    def _history(self, items: Tensor, stars: Tensor) -> Interactions:
        return Interactions(items * 0, items, stars, items * 0, pd.RangeIndex(1), self.known.item_ids)
