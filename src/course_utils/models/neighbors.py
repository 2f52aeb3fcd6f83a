"""Neighbourhood models: similar users, similar items, and EASE; taught in chapter 4."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from course_utils.data.interactions import Interactions, check_codes, check_pairs, check_sizes
from course_utils.errors import InputError, check_choice, check_counts, check_range, refuse
from course_utils.models.base import Codes, Described
from course_utils.models.baselines import BiasModel

Matrix = sparse.sparray | np.ndarray | Tensor
_KINDS = ("cosine", "tfidf", "pearson", "adjusted_cosine", "jaccard")
_CHUNK = 2_000_000  # numbers in the largest arrays that predict makes at a time, 16 MB in float64


def similarities(matrix: Matrix, kind: str = "cosine", shrinkage: float = 0.0, *, common: bool = False) -> Tensor:
    r"""Similarity of each row with each other row, ``(n, n)``, symmetric, -1 to 1; 0 where undefined.

    The cosine of two rows is :math:`\sum_c x_{ac} x_{bc} / \sqrt{\sum_c x_{ac}^2 \sum_c x_{bc}^2}`. ``"tfidf"`` first
    multiplies each column by log(n / its number of ratings). ``"pearson"`` first subtracts the row's mean,
    ``"adjusted_cosine"`` the column's (Sarwar et al. 2001). ``"jaccard"``: common columns over those of either row.

    The ``matrix`` is ``(n, m)``, sparse, where each stored entry is a rating, or dense with nan for "not rated". With a
    ``shrinkage`` κ ≥ 0 each is multiplied by n / (n + κ), n being the number of common columns. ``common`` takes norms
    and Pearson's means over the columns that both rows have, as Surprise does; False takes them over all of a row, as
    ``implicit`` does: a small overlap then gives a small similarity.
    """
    check_choice(_KINDS, similarity=kind)
    check_range("0 or more", shrinkage=shrinkage)
    return _similar(_prepared(matrix, kind), kind, shrinkage, common)


def weighted_average(weights: Tensor, values: Tensor, k: int | None = None, damping: float = 0.0) -> Tensor:
    r"""What the k nearest say: :math:`\sum_j w_j v_j / (\delta + \sum_j |w_j|)` over the k largest weights of a row.

    δ, the damping, pulls an average with little weight behind it to 0. Weights, 0 for who is no neighbour, and values
    are ``(n, m)``, the result is ``(n,)``; it is 0 where all weights are. Without k all count.
    """
    if k is not None and k < weights.shape[1]:
        weights, nearest = weights.topk(k, dim=1)  # (n, k)
        values = values.gather(1, nearest)
    total = weights.abs().sum(1) + damping
    return (weights * values).sum(1) / total.where(total > 0, 1)


class ItemKNN(Described):
    r"""Items like those that the user has (Sarwar et al. 2001; Deshpande and Karypis 2004).

    :meth:`predict` takes, of the items that the user rated, the k most similar to the target. :meth:`score` counts an
    item of the user when it is among the k most similar to the target in the whole catalogue. Neighbours with a
    negative similarity count nowhere. In :meth:`score` the user's last item counts 1 and the one k places before it
    decay**k (chapter 18). Options are those of :func:`similarities` and :func:`weighted_average`.
    Defaults: validation on MovieLens-100K, chapter 4; for ratings alone ``"adjusted_cosine"`` with ``shrinkage=25`` was
    best, for lists ``k=300``. ``biases`` is the ``BiasModel`` that ratings are compared with.
    """

    _neighbours_are_items = True

    def __init__(
        self,
        k: int = 40,
        similarity: str = "tfidf",
        shrinkage: float = 0.0,
        *,
        damping: float = 0.1,
        common: bool = False,
        decay: float = 1.0,
    ) -> None:
        check_counts(k=k)
        check_choice(_KINDS, similarity=similarity)
        check_range("0 or more", shrinkage=shrinkage, damping=damping)
        check_range("above 0, 1 at most", decay=decay)
        if decay != 1 and not self._neighbours_are_items:
            raise InputError("decay", got=decay, expected="1, or ItemKNN: no item of the user is a neighbour here")
        self.k, self.similarity, self.shrinkage = k, similarity, shrinkage
        self.damping, self.common, self.decay = damping, common, decay
        self._prepared: tuple | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Find the nearest of each, a block of rows of the table at a time, and the biases that ``predict`` needs."""
        check_sizes(interactions)
        n = interactions.n_items if self._neighbours_are_items else interactions.n_users
        self.biases = BiasModel().fit(interactions)
        known = self.biases.predict(interactions.users, interactions.items)
        left = replace(interactions, ratings=interactions.ratings - known)
        # One column a possible neighbour, one row a user (UserKNN: an item) who has some of them.
        ratings, self._residuals, self._seen = (
            (x if self._neighbours_are_items else x.T).tocsr()
            for x in (interactions.csr(), left.csr(), interactions.csr(binary=True))
        )
        self._weights = self._seen if self.decay == 1 else interactions.csr(binary=True, decay=self.decay)
        self._prepared = _prepared(ratings.T, self.similarity)
        k, parts = min(self.k, n), torch.arange(n).split(max(1, _CHUNK // n))
        tops = zip(*(self._rows(part).topk(k, dim=1) for part in parts), strict=True)
        best, nearest = (torch.cat(each).numpy().ravel() for each in tops)
        self._nearest = sparse.csr_array((best, nearest, np.arange(0, n * k + 1, k)), (n, n))
        self._nearest.sort_indices()
        return self

    def _rows(self, targets: Tensor) -> Tensor:
        s = _similar(self._prepared, self.similarity, self.shrinkage, self.common, targets.numpy())
        s[torch.arange(len(targets)), targets] = 0
        return s.clamp_(min=0)

    @property
    def similarities(self) -> Tensor:
        """All of them, ``(n_items, n_items)``, 0 to 1, diagonal 0: computed anew, for only the nearest are kept."""
        n = len(self._fitted(self._prepared)[2])
        _check_memory(n, 8 if self.common else 5)
        return self._rows(torch.arange(n))

    def predict(self, users: Codes, items: Codes) -> Tensor:
        """Bias model plus the damped average of what it left of the neighbours' ratings, ``(n,)``, not clipped."""
        self._fitted(self._prepared)
        pair = check_pairs(users, items, len(self.biases.user_bias), len(self.biases.item_bias))
        predicted = self.biases.predict(*pair)
        rows, targets = pair if self._neighbours_are_items else pair[::-1]
        for part in targets.argsort(stable=True).split(max(1, _CHUNK // len(self._prepared[2]))):
            own, tables = rows[part].numpy(), (self._seen, self._residuals)
            seen, left = (torch.from_numpy(x[own].toarray()) for x in tables)
            some, places = targets[part].unique(return_inverse=True)  # few, as targets are in order
            weights = self._rows(some)[places] * seen
            predicted[part] += weighted_average(weights, left, self.k, self.damping).to(predicted.dtype)
        return predicted

    def score(self, users: Codes) -> Tensor:
        """Sums of similarities, for lists, ``(len(users), n_items)``, at least 0; zeros where nothing is known."""
        self._fitted(self._prepared)
        rows = check_codes(users, len(self.biases.user_bias), "users").numpy()
        own, weights = (self._weights, self._nearest)[:: 1 if self._neighbours_are_items else -1]
        return torch.from_numpy((own[rows] @ weights.T).toarray()).to(torch.get_default_dtype())

    def fold_in(self, history: Interactions) -> Tensor:
        """Scores for new users: sums of similarities to their items, ``(history.n_users, n_items)``."""
        check_sizes(history, None, len(self._fitted(self._prepared)[2]))
        scores = (history.csr(binary=True, decay=self.decay) @ self._nearest.T).toarray()
        return torch.from_numpy(scores).to(torch.get_default_dtype())


class UserKNN(ItemKNN):
    """Users who agree with the user (Herlocker et al. 1999): :class:`ItemKNN` with users as neighbours.

    :meth:`predict` takes, of the users who rated the item, the k most similar. :meth:`score` sums the similarities of
    those who have the item among the k most similar of all. ``similarities`` has the shape ``(n_users, n_users)``.
    For ratings alone ``"pearson"`` with ``shrinkage=25`` was best, for lists ``k=80``.
    """

    _neighbours_are_items = False
    fold_in = None  # a new user has no similarities yet


class EASE(Described):
    r"""An item's score as a weighted sum of the user's items, the weights in closed form.

    Minimises :math:`\|X - XB\|_F^2 + \lambda \|B\|_F^2` over B with zero diagonal, where X holds 1 for an interaction:
    :math:`B_{ij} = -P_{ij} / P_{jj}` with :math:`P = (X^\top X + \lambda I)^{-1}` (Steck 2019). ``weights`` is B,
    ``(n_items, n_items)``; a negative weight counts against the target. ``decay`` is that of :class:`ItemKNN`.
    """

    def __init__(self, regularization: float = 400.0, *, decay: float = 1.0) -> None:
        check_range("above 0", regularization=regularization)
        check_range("above 0, 1 at most", decay=decay)
        self.regularization, self.decay = regularization, decay
        self.weights: Tensor | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Invert one ``(n_items, n_items)`` matrix in its place; ratings are not looked at."""
        check_sizes(interactions)
        n = interactions.n_items
        _check_memory(n, 1 if torch.get_default_dtype() == torch.float64 else 2)
        self._seen = interactions.csr(binary=True)
        self._weighted = self._seen if self.decay == 1 else interactions.csr(binary=True, decay=self.decay)
        square, by_item, step = np.empty((n, n)), self._seen.T.tocsr(), max(1, _CHUNK // n)
        for i in range(0, n, step):
            (by_item[i : i + step] @ self._seen).toarray(out=square[i : i + step])
        gram = torch.from_numpy(square)
        gram.diagonal().add_(self.regularization)
        torch.cholesky_inverse(torch.linalg.cholesky(gram.mT, out=gram.mT), out=gram.mT)  # in place: columns for LAPACK
        self.weights = gram.div_(-gram.diagonal()).fill_diagonal_(0).to(torch.get_default_dtype())
        return self

    def score(self, users: Codes) -> Tensor:
        """Sums of the weights of each user's items, ``(len(users), n_items)``; zeros for a user without items."""
        self._fitted(self.weights)
        rows = check_codes(users, self._seen.shape[0], "users").numpy()
        return torch.from_numpy(self._weighted[rows] @ self.weights.numpy()).to(torch.get_default_dtype())

    def fold_in(self, history: Interactions) -> Tensor:
        """Scores for new users: sums of the weights of their items, ``(history.n_users, n_items)``."""
        check_sizes(history, None, len(self._fitted(self.weights)))
        scores = history.csr(binary=True, decay=self.decay) @ self.weights.numpy()
        return torch.from_numpy(scores).to(torch.get_default_dtype())


def _prepared(matrix: Matrix, kind: str) -> tuple[sparse.csr_array, sparse.csr_array, np.ndarray]:
    """The ratings as the kind wants them, ones at the same places, and the square of a row that is rounding alone."""
    if not sparse.issparse(matrix):
        matrix = np.asarray(matrix, float)
        places = np.nonzero(~np.isnan(matrix))
        matrix = sparse.coo_array((matrix[places], places), matrix.shape)
    matrix = sparse.coo_array(matrix)
    (n, m), row, column, values = matrix.shape, matrix.row, matrix.col, matrix.data.astype(float)
    noise = np.zeros(n)
    if kind == "tfidf":
        values = values * np.log(n / np.maximum(np.bincount(column, minlength=m), 1))[column]
    elif kind in ("pearson", "adjusted_cosine"):
        noise = 1e-12 * np.bincount(row, values**2, n)
        code, size = (row, n) if kind == "pearson" else (column, m)
        means = np.bincount(code, values, size) / np.maximum(np.bincount(code, minlength=size), 1)
        values = values - means[code]
    x, ones = (sparse.csr_array((data, (row, column)), (n, m)) for data in (values, np.ones(len(values))))
    return x, ones, noise


def _similar(made: tuple, kind: str, shrinkage: float, common: bool, rows: np.ndarray | slice = slice(None)) -> Tensor:
    """Rows of the table of similarities, ``(len(rows), n)``, of a matrix that :func:`_prepared` has made ready."""
    x, ones, noise = made
    own, marks = x[rows], ones[rows]
    n = (marks @ ones.T).toarray() if shrinkage > 0 or common or kind == "jaccard" else None
    if kind == "jaccard":
        count = ones.multiply(ones).sum(axis=1)
        dot, norm = n.copy(), count[rows][:, None] + count - n
    else:
        square = np.bincount(np.arange(len(noise)).repeat(np.diff(x.indptr)), x.data**2, len(noise))
        dot = (own @ x.T).toarray()
        mine, theirs = square[rows][:, None], square
        if common:  # over the columns of the other
            mine, theirs = (own.multiply(own) @ ones.T).toarray(), (marks @ x.multiply(x).T).toarray()
            if kind == "pearson":
                total, other, size = (own @ ones.T).toarray(), (marks @ x.T).toarray(), np.maximum(n, 1)
                dot, mine, theirs = dot - total * other / size, mine - total**2 / size, theirs - other**2 / size
        norm = np.sqrt(np.where(mine > noise[rows][:, None], mine, 0)) * np.sqrt(np.where(theirs > noise, theirs, 0))
    s = np.divide(dot, norm, out=np.zeros_like(dot), where=norm > 0)
    if shrinkage > 0:
        s *= n / (n + shrinkage)
    return torch.from_numpy(s).clamp_(-1, 1).to(torch.get_default_dtype())


def _check_memory(n: int, tables: int) -> None:
    """Refuse to make so many ``(n, n)`` tables of float64 at a time, when they do not fit the free memory."""
    needed, free = tables * 8 * n**2 / 1e9, _free_memory() / 1e9
    got = f"{tables} tables of {n:,} x {n:,}, {needed:,.1f} GB beside {free:,.1f} GB that are free"
    expected = "fewer items (UserKNN: users), or ImplicitALS, which makes no such table"
    refuse(needed > free, "interactions", got, expected)


def _free_memory() -> float:
    """Bytes that Linux would still give; no limit on a system that does not say."""
    try:
        words = Path("/proc/meminfo").read_text(encoding="ascii").split()
        return 1024 * int(words[words.index("MemAvailable:") + 1])
    except (OSError, ValueError):
        return math.inf
