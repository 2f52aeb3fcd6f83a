"""Baskets, coded like users, association rules, and "if X then Y" as a recommender; taught in chapter 1."""

import warnings
from itertools import combinations
from typing import Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import sparse

from course_utils.data.columns import column
from course_utils.data.interactions import Interactions, Values, check_codes, check_sizes
from course_utils.errors import InputError, check_choice, check_counts, check_range, refuse
from course_utils.models.base import Codes, Described

with warnings.catch_warnings():  # on import mlxtend turns the DeprecationWarnings of all libraries on
    from mlxtend.frequent_patterns import fpgrowth


def basket_interactions(
    lines: pd.DataFrame, *, item: str = "product_id", basket_ids: Values | None = None, item_ids: Values | None = None
) -> Interactions:
    """Code lines of receipts as baskets, which take the place of users: an item is in a basket once.

    The columns are ``basket_id``, and ``item`` of products or of a coarser level, such as ``"product_category"``. Ids
    are in code order, None for all that occur. Lines whose item is missing, or not among the ids, are left out.
    """
    lines = pd.concat([column(lines, name, "lines") for name in ("basket_id", item)], axis=1)
    lines = lines.set_axis(["user_id", "item_id"], axis=1).dropna(subset="item_id").drop_duplicates()
    for name, ids in (("user_id", basket_ids), ("item_id", item_ids)):
        if ids is not None:
            lines = lines[lines[name].isin(ids)]
    return Interactions.from_frame(lines, user_ids=basket_ids, item_ids=item_ids)


def rule_measures(support: ArrayLike, support_if: ArrayLike, support_then: ArrayLike) -> pd.DataFrame:
    r"""The five measures of rules "if X then Y" from three supports each.

    Confidence is :math:`s_{XY}/s_X`, lift :math:`s_{XY}/(s_X s_Y)`, leverage :math:`s_{XY} - s_X s_Y` and conviction
    :math:`(1 - s_Y)/(1 - \text{confidence})`. Support and confidence are Agrawal's and Srikant's (1994).

    The arguments are the shares of baskets with X and Y, with X, with Y, ``(n,)`` or one number. Of the columns
    ``support confidence`` are 0 to 1, ``lift conviction`` 0 or more (inf for confidence 1), ``leverage`` -¼ to ¼.
    """
    both, x, y = np.atleast_1d(*np.broadcast_arrays(*map(np.float64, (support, support_if, support_then))))
    check_range("above 0, 1 at most", support_if=x, support_then=y)
    if not ((both >= np.maximum(x + y - 1, 0) - 1e-12) & (both <= np.minimum(x, y) + 1e-12)).all():
        raise InputError("support", got="a share that X and Y cannot have", expected="max(0, x+y-1)..min(x, y)")
    confidence = both / x
    sure = np.isclose(confidence, 1, rtol=0, atol=1e-12)
    conviction = np.divide(1 - y, 1 - confidence, out=np.full_like(y, np.inf), where=~sure)
    five = {"support": both, "confidence": confidence, "lift": both / (x * y), "leverage": both - x * y}
    return pd.DataFrame(five | {"conviction": conviction})


def frequent_itemsets(baskets: Interactions, min_support: float) -> pd.DataFrame:
    """All item sets that at least a share of the baskets holds, by mlxtend's FP-growth (Han, Pei and Yin 2000).

    One row a set, ``support`` and ``itemsets`` (a frozenset of item ids), single items first. The first step of
    FP-growth is done here, by a sparse product: a set is mined in the baskets of its rarest item alone, among the items
    that are frequent together with it. For all baskets of 68,509 products at once, mlxtend 0.23 needs far longer.
    """
    check_range("above 0, 1 at most", min_support=min_support)
    refuse(len(baskets) == 0, "baskets", "none", "at least one with an item")
    matrix, n = baskets.csr(binary=True), baskets.n_users
    # At least ceil(share * n) baskets; 1e-9 keeps a product such as 0.3 * 10 from being rounded up.
    least = np.ceil(min_support * n - 1e-9)
    alone = matrix.sum(axis=0)
    kept = np.argsort(alone, kind="stable")  # the rarest first
    kept = kept[alone[kept] >= least]
    matrix = matrix[:, kept]  # (n_baskets, n_kept)
    found = [(count, [code]) for code, count in enumerate(alone[kept])]
    together = sparse.csr_array(sparse.triu(matrix.T @ matrix, k=1))  # row: the rarer item of a pair
    together.data[together.data < least] = 0
    together.eliminate_zeros()
    columns = matrix.tocsc()
    for first in np.flatnonzero(np.diff(together.indptr)):
        rest = together.indices[together.indptr[first] : together.indptr[first + 1]]
        rows = columns.indices[columns.indptr[first] : columns.indptr[first + 1]]
        block = pd.DataFrame(matrix[rows][:, rest].toarray().astype(bool))
        sets = fpgrowth(block, min_support=(least - 0.5) / len(rows))
        counts = (sets["support"] * len(rows)).round()
        found += [(count, [first, *rest[list(s)]]) for count, s in zip(counts, sets["itemsets"], strict=True)]
    names = baskets.item_ids[kept]
    table = pd.DataFrame({"support": [count / n for count, _ in found]}, dtype=float)
    return table.assign(itemsets=pd.Series([frozenset(names[codes]) for _, codes in found], dtype=object))


def rules(itemsets: pd.DataFrame, min_confidence: float = 0.0) -> pd.DataFrame:
    """All rules "if X then Y" of the frequent sets that reach a confidence, sorted by confidence, support and name.

    It needs the whole table of :func:`frequent_itemsets`: one without a part of a set is refused. One row a rule:
    ``antecedents`` (X), ``consequents`` (Y), both frozensets of item ids, and the columns of :func:`rule_measures`.
    """
    check_range("from 0 to 1", min_confidence=min_confidence)
    support = dict(zip(itemsets["itemsets"], itemsets["support"], strict=True))
    larger = [both for both in support if len(both) > 1]
    sides = [(x, both) for both in larger for n in range(1, len(both)) for x in combinations(both, n)]
    sides = [(frozenset(x), both.difference(x)) for x, both in sides]
    missing = {part for pair in sides for part in pair} - set(support)
    if missing:
        got = f"sets whose parts are missing, such as {sorted(map(str, next(iter(missing))))}"
        raise InputError("itemsets", got=got, expected="the whole table of frequent_itemsets: filter the rules")
    table = pd.DataFrame(sides, columns=["antecedents", "consequents"], dtype=object)
    three = np.array([(support[x | y], support[x], support[y]) for x, y in sides]).reshape(-1, 3)
    table = table.join(rule_measures(*three.T))
    table = table[table["confidence"] >= min_confidence]
    names = [table[side].map(lambda items: " ".join(sorted(map(str, items)))) for side in table.columns[:2]]
    # Sets of text have another order in each Python process; the names decide ties, so that the rows do not.
    return table.iloc[np.lexsort([*names[::-1], -table["support"], -table["confidence"]])].reset_index(drop=True)


class RuleRecommender(Described):
    """Recommends the Y of rules "if X then Y" whose X the user, or the basket, has; one item on each side.

    Deshpande and Karypis (2004) study it as conditional probability. X and Y of a rule have ``min_count`` users in
    common. ``by`` is what a rule is worth: its ``"confidence"``, ``"lift"`` or ``"leverage"``. ``combine`` ``"best"``
    scores Y by its best rule, never a negative one, ``"sum"`` by all rules that fire, where a negative leverage speaks
    against Y. Items that no rule reaches are ordered by popularity. Defaults: validation on MovieLens-100K.
    """

    def __init__(self, min_count: int = 50, by: str = "leverage", combine: str = "sum") -> None:
        check_counts(min_count=min_count)
        check_choice(("confidence", "lift", "leverage"), by=by)
        check_choice(("best", "sum"), combine=combine)
        self.min_count, self.by, self.combine = min_count, by, combine
        self.weights: torch.Tensor | None = None  # (n_items, n_items), row X, column Y

    def fit(self, interactions: Interactions, *, histories: Interactions | None = None) -> Self:
        """Count all pairs in one sparse product and keep the frequent ones as rules; ratings are not looked at.

        With ``histories`` of the same ``item_ids``, such as baskets that are not yet full, the rules are applied to
        those in place of the training part. Their codes are then the ``users`` of :meth:`score`.
        """
        histories = interactions if histories is None else histories
        check_sizes(interactions)
        if not histories.item_ids.equals(interactions.item_ids):
            raise InputError("histories", got="other item ids", expected="the item_ids of interactions")
        matrix, n = interactions.csr(binary=True), interactions.n_users
        both = (matrix.T @ matrix).toarray()  # (n_items, n_items) counts, items alone on the diagonal
        alone = both.diagonal().copy()
        np.fill_diagonal(both, 0)  # "if X then X" is no rule
        x, y = np.nonzero(both >= self.min_count)
        weights = np.zeros_like(both)
        weights[x, y] = rule_measures(both[x, y] / n, alone[x] / n, alone[y] / n)[self.by]
        self.weights = torch.tensor(weights, dtype=torch.get_default_dtype())
        self._popularity = torch.tensor(alone / n, dtype=torch.get_default_dtype())
        self._histories = histories.csr(binary=True)
        return self

    def score(self, users: Codes) -> torch.Tensor:
        """What the rules that fire say of each item, ``(len(users), n_items)``."""
        self._fitted(self.weights)
        rows = self._histories[check_codes(users, self._histories.shape[0], "users").numpy()]
        if self.combine == "sum":
            fired = torch.from_numpy(rows @ self.weights.double().numpy()).to(self.weights)
        else:
            fired = self.weights.new_zeros(rows.shape)
            columns = rows.tocsc()
            for x in np.flatnonzero(np.diff(columns.indptr)):  # over items, not over users: memory stays flat
                having = columns.indices[columns.indptr[x] : columns.indptr[x + 1]]
                fired[having] = torch.maximum(fired[having], self.weights[x])
        # Popularity decides among items without a rule, and ties: float32 could not hold it.
        return fired.double() + 1e-9 * self._popularity
