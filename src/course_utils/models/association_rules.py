"""Baskets, association rules, and "if X then Y" as a recommender; taught in chapter 1.

A basket is coded like a user: :class:`~course_utils.data.Interactions` with one row a basket and product.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from course_utils.data.columns import column
from course_utils.data.interactions import Interactions, check_codes
from course_utils.errors import InputError, NotFittedError, check_counts

with warnings.catch_warnings():  # on import mlxtend turns the DeprecationWarnings of all libraries on
    from mlxtend.frequent_patterns import association_rules, fpgrowth

_SIDES = ["antecedents", "consequents"]
_WORTH = ("confidence", "lift", "leverage")


def basket_interactions(
    transactions: pd.DataFrame,
    *,
    basket: str = "basket_id",
    item: str = "product_id",
    basket_ids: Sequence | pd.Index | pd.Series | np.ndarray | None = None,
    item_ids: Sequence | pd.Index | pd.Series | np.ndarray | None = None,
) -> Interactions:
    """Code transaction lines as baskets: an item is in a basket once, however often it was scanned.

    Args:
        transactions: one row a line of a receipt; rows whose item is missing are left out.
        basket: the column that says which basket; it takes the place of the user.
        item: the column of products, or of a coarser level such as ``"product_category"``.
        basket_ids: the baskets in code order; lines of other baskets are left out. All that have a line when not given.
        item_ids: the catalogue in code order; lines with other items are left out. All items when not given.

    Returns:
        Baskets as ``Interactions``: ``.csr(binary=True)`` is the ``(n_baskets, n_items)`` basket matrix.

    Raises:
        InputError: a column is missing, or a basket id is.
    """
    lines = pd.concat([column(transactions, name, "transactions") for name in (basket, item)], axis=1)
    lines = lines.dropna(subset=[item])
    for name, ids in ((basket, basket_ids), (item, item_ids)):
        if ids is not None:
            lines = lines[lines[name].isin(ids)]
    lines = lines.drop_duplicates().set_axis(["user_id", "item_id"], axis=1)
    return Interactions.from_frame(lines, user_ids=basket_ids, item_ids=item_ids)


def rule_measures(
    support: np.ndarray | float, support_if: np.ndarray | float, support_then: np.ndarray | float
) -> pd.DataFrame:
    r"""The five measures of rules "if X then Y" from three supports each.

    Confidence is :math:`s_{XY}/s_X`, lift :math:`s_{XY}/(s_X s_Y)`, leverage :math:`s_{XY} - s_X s_Y` and conviction
    :math:`(1 - s_Y)/(1 - \text{confidence})`. Support and confidence are Agrawal's and Srikant's (1994).

    Args:
        support: share of baskets with X and Y, ``(n,)``.
        support_if: share with X, ``(n,)`` or one number, above 0.
        support_then: share with Y, likewise.

    Returns:
        Columns ``support confidence lift leverage conviction``, ``(n, 5)``. Support and confidence are in [0, 1], lift
        is at least 0, leverage in [-0.25, 0.25], conviction at least 0, and inf where the confidence is 1.

    Raises:
        InputError: a support is outside (0, 1], or X and Y together are more frequent than one of them, or so rare
            that both could not be as frequent as stated.
    """
    both, x, y = np.atleast_1d(*np.broadcast_arrays(*map(np.float64, (support, support_if, support_then))))
    for name, value in {"support_if": x, "support_then": y}.items():
        if not ((value > 0) & (value <= 1)).all():
            raise InputError(name, got=f"{value.min()} to {value.max()}", expected="shares above 0, up to 1")
    if not ((both >= np.maximum(x + y - 1, 0) - 1e-12) & (both <= np.minimum(x, y) + 1e-12)).all():
        raise InputError(
            "support", got="a share that X and Y cannot have", expected="max(0, x+y-1)..min(x, y)"
        )
    confidence = both / x
    sure = np.isclose(confidence, 1, rtol=0, atol=1e-12)
    conviction = np.divide(1 - y, 1 - confidence, out=np.full_like(y, np.inf), where=~sure)
    values = [both, confidence, both / (x * y), both - x * y, conviction]
    return pd.DataFrame(
        dict(zip(("support", "confidence", "lift", "leverage", "conviction"), values, strict=True))
    )


def frequent_itemsets(
    baskets: Interactions, min_support: float, *, max_length: int | None = None
) -> pd.DataFrame:
    """All item sets that at least a share of the baskets holds, by mlxtend's FP-growth (Han, Pei and Yin 2000).

    Items below the support are dropped before the mining starts. That is what makes 68,509 products minable. The first
    step of FP-growth is done here, by a sparse product: a set is mined in the baskets of its rarest item alone, among
    the items that are frequent together with it. mlxtend 0.23 needs far longer for all baskets at once.

    Args:
        baskets: coded baskets.
        min_support: share of baskets, in (0, 1].
        max_length: largest number of items in a set, at least 1; no limit when left out.

    Returns:
        Columns ``support`` and ``itemsets`` (a frozenset of item ids), one row a set; single items come first.

    Raises:
        InputError: there are no baskets, or ``min_support`` is outside (0, 1].
    """
    if not 0 < min_support <= 1:
        raise InputError("min_support", got=min_support, expected="a share above 0, up to 1")
    if len(baskets) == 0:
        raise InputError("baskets", got="no baskets", expected="at least one basket with an item")
    matrix, n = baskets.csr(binary=True), baskets.n_users
    # At least ceil(share * n) baskets; 1e-9 keeps a product such as 0.3 * 10 from being rounded up.
    least = np.ceil(min_support * n - 1e-9)
    alone = matrix.sum(axis=0)
    kept = np.argsort(alone, kind="stable")  # the rarest first
    kept = kept[alone[kept] >= least]
    matrix = matrix[:, kept]
    found = [(count, [code]) for code, count in enumerate(alone[kept])]
    together = sparse.csr_array(sparse.triu(matrix.T @ matrix, k=1))  # row: the rarer item of a pair
    together.data[together.data < least] = 0
    together.eliminate_zeros()
    columns = matrix.tocsc()
    for first in np.flatnonzero(np.diff(together.indptr)) if max_length != 1 else ():
        rest = together.indices[together.indptr[first] : together.indptr[first + 1]]
        rows = columns.indices[columns.indptr[first] : columns.indptr[first + 1]]
        block = pd.DataFrame(matrix[rows][:, rest].toarray().astype(bool))
        longest = max_length and max_length - 1
        sets = fpgrowth(block, min_support=(least - 0.5) / len(rows), max_len=longest)
        counts = (sets["support"] * len(rows)).round()
        found += [(count, [first, *rest[list(s)]]) for count, s in zip(counts, sets["itemsets"], strict=True)]
    names = baskets.item_ids[kept]
    support = pd.Series([count / n for count, _ in found], dtype=float)
    itemsets = pd.Series([frozenset(names[codes]) for _, codes in found], dtype=object)
    return pd.DataFrame({"support": support, "itemsets": itemsets})


def rules(itemsets: pd.DataFrame, min_confidence: float = 0.0) -> pd.DataFrame:
    """All rules "if X then Y" of the frequent sets that reach a confidence, sorted by confidence, support and name.

    Args:
        itemsets: what :func:`frequent_itemsets` returned, without a limit on length, or with any.
        min_confidence: in [0, 1].

    Returns:
        One row a rule: ``antecedents`` (X), ``consequents`` (Y), both frozensets of item ids, and the columns of
        :func:`rule_measures`. Empty where no set has two items.

    Raises:
        InputError: ``min_confidence`` is outside [0, 1].
    """
    if not 0 <= min_confidence <= 1:
        raise InputError("min_confidence", got=min_confidence, expected="a share in 0..1")
    if not len(itemsets) or itemsets["itemsets"].map(len).max() < 2:
        measures = rule_measures(np.empty(0), np.empty(0), np.empty(0))
        return measures.assign(antecedents=[], consequents=[])
    known = set(itemsets["itemsets"])
    parts = {
        part for one in known if len(one) > 1 for item in one for part in (one - {item}, frozenset([item]))
    }
    if not parts <= known:
        got = f"sets whose parts are missing, such as {sorted(map(str, next(iter(parts - known))))}"
        raise InputError(
            "itemsets", got=got, expected="the whole table of frequent_itemsets: filter the rules"
        )
    with np.errstate(all="ignore"):  # mlxtend computes more measures than we read, and some divide by 0
        found = association_rules(itemsets, metric="confidence", min_threshold=min_confidence)
    columns = ("support", "antecedent support", "consequent support")
    measures = rule_measures(*(found[column].to_numpy() for column in columns))
    table = pd.concat([found[_SIDES], measures], axis=1)
    names = [table[side].map(lambda items: " ".join(sorted(map(str, items)))) for side in _SIDES]
    # Sets of text have another order in each Python process; the names decide ties, so that the rows do not.
    order = np.lexsort([*names[::-1], -table["support"], -table["confidence"]])
    return table.iloc[order].reset_index(drop=True)


class RuleRecommender:
    """Recommends the Y of rules "if X then Y" whose X the user, or the basket, has; one item on each side.

    The rules of all pairs come from one sparse product, so no miner is needed. An item that no rule reaches is ordered
    by its popularity. The idea is old; Deshpande and Karypis (2004) study it as conditional probability.

    Args:
        min_count: users (or baskets) that X and Y of a rule must have in common, at least 1.
        by: what a rule is worth: its ``"confidence"``, ``"lift"`` or ``"leverage"``.
        combine: ``"best"`` scores Y by its best rule, ``"sum"`` by all rules that fire. A negative leverage speaks
            against Y in the sum; the best rule is never a negative one.

    The defaults were chosen on a random fifth of the training part of ``random_split(seed=0)`` of MovieLens-100K.

    Attributes:
        weights: ``(n_items, n_items)``, row X, column Y: the worth of a rule, 0 where it is too rare.
    """

    def __init__(self, min_count: int = 50, by: str = "leverage", combine: str = "sum") -> None:
        check_counts(min_count=min_count)
        for name, value, known in (("by", by, _WORTH), ("combine", combine, ("best", "sum"))):
            if value not in known:
                raise InputError(name, got=repr(value), expected=f"one of {', '.join(known)}")
        self.min_count, self.by, self.combine = min_count, by, combine
        self.weights: torch.Tensor | None = None

    def fit(self, interactions: Interactions, *, histories: Interactions | None = None) -> Self:
        """Count all pairs at once and keep the frequent ones as rules.

        Args:
            interactions: the training part, users or baskets; ratings are not looked at.
            histories: to whom the rules are applied, if not to the training part: baskets that are not yet full. Its
                codes are then the ``users`` of :meth:`score`. The same ``item_ids``.

        Raises:
            InputError: there are no interactions, or the item ids differ.
        """
        histories = interactions if histories is None else histories
        if len(interactions) == 0:
            raise InputError("interactions", got="none", expected="at least one")
        if not histories.item_ids.equals(interactions.item_ids):
            raise InputError("histories", got="other item ids", expected="the item_ids of interactions")
        matrix, n = interactions.csr(binary=True), interactions.n_users
        both = (matrix.T @ matrix).toarray()  # (n_items, n_items) counts, items alone on the diagonal
        alone = both.diagonal().copy()
        np.fill_diagonal(both, 0)  # "if X then X" is no rule
        x, y = np.nonzero(both >= self.min_count)
        worth = rule_measures(both[x, y] / n, alone[x] / n, alone[y] / n)[self.by]
        weights = np.zeros_like(both)
        weights[x, y] = worth
        self.weights = torch.from_numpy(weights).to(torch.get_default_dtype())
        self._popularity = torch.from_numpy(alone / n).to(torch.get_default_dtype())
        self._histories = histories.csr(binary=True)
        return self

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """What the rules that fire say of each item, ``(len(users), n_items)``, higher is better.

        Args:
            users: codes of users, or of baskets, among the histories, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self.weights is None:
            raise NotFittedError(self)
        users = check_codes(users, self._histories.shape[0], "users")
        rows = self._histories[users.numpy()]
        if self.combine == "sum":
            fired = torch.from_numpy(rows @ self.weights.double().numpy()).to(self.weights)
        else:
            fired = self._best(rows)
        # decides among items without a rule, and ties: float32 could not hold it
        return fired.double() + 1e-9 * self._popularity

    def _best(self, rows: sparse.csr_array) -> torch.Tensor:
        """Largest weight per row and column; a block of X at a time, so that memory stays flat."""
        best = torch.zeros(rows.shape[0], self.weights.shape[1], dtype=self.weights.dtype)
        columns = rows.tocsc()
        for x in np.flatnonzero(np.diff(columns.indptr)):  # over items, not over users
            having = columns.indices[columns.indptr[x] : columns.indptr[x + 1]]
            best[having] = torch.maximum(best[having], self.weights[x])
        return best
