"""Neighbourhood models: similar users, similar items, and EASE; taught in chapter 4."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from scipy import sparse

from course_utils.data.interactions import Interactions, check_codes
from course_utils.errors import InputError, NotFittedError, check_counts
from course_utils.models.baselines import BiasModel

_KINDS = ("cosine", "tfidf", "pearson", "adjusted_cosine", "jaccard")
_CHUNK = 2_000_000  # numbers in the largest arrays that predict makes at a time, 16 MB in float64


def similarities(
    matrix: sparse.sparray | np.ndarray | torch.Tensor,
    kind: str = "cosine",
    shrinkage: float = 0.0,
    *,
    common: bool = False,
) -> torch.Tensor:
    r"""Similarity of each row of a rating matrix with each other row, as a few sparse products.

    The cosine of two rows is :math:`\sum_c x_{ac} x_{bc} / \sqrt{\sum_c x_{ac}^2 \sum_c x_{bc}^2}`. ``"tfidf"`` first
    multiplies each column by log(n / its number of ratings). ``"pearson"`` first subtracts the row's mean,
    ``"adjusted_cosine"`` the column's (Sarwar et al. 2001). ``"jaccard"`` divides the number of common
    columns by the number that either row has.

    Args:
        matrix: ``(n, m)``, users by items for similar users, items by users for similar items. Sparse, where each
            stored entry is a rating, or dense with nan for "not rated".
        kind: ``"cosine"``, ``"tfidf"``, ``"pearson"``, ``"adjusted_cosine"`` or ``"jaccard"``.
        shrinkage: κ ≥ 0 in the factor n / (n + κ), n being the number of common columns.
        common: True takes the norms, and Pearson's means, over the columns that both rows have, as Surprise does.
            False takes them over all ratings of a row, as ``implicit`` and LensKit do: a small overlap of two long
            rows then gives a small similarity. Jaccard is the same either way.

    Returns:
        ``(n, n)``, symmetric, in [-1, 1]; 0 where undefined (no common column, no variance). Memory grows with n².

    Raises:
        InputError: the kind is unknown, or ``shrinkage`` is not 0 or above.
    """
    _check(similarity=kind, shrinkage=shrinkage)
    x, ones, noise = _prepared(matrix, kind)
    n = (ones @ ones.T).toarray()
    if kind == "jaccard":
        dot, norm = n, n.diagonal()[:, None] + n.diagonal() - n
    else:
        dot = (x @ x.T).toarray()
        square = np.broadcast_to(dot.diagonal()[:, None], dot.shape)
        if common:
            square = (x.multiply(x) @ ones.T).toarray()  # of the row, over the columns of the other
            if kind == "pearson":
                total = (x @ ones.T).toarray()
                dot = dot - total * total.T / np.maximum(n, 1)
                square = square - total**2 / np.maximum(n, 1)
        norm = np.sqrt(np.where(square > noise[:, None], square, 0))
        norm = norm * norm.T
    s = np.divide(dot, norm, out=np.zeros_like(dot), where=norm > 0)
    if shrinkage > 0:
        s *= n / (n + shrinkage)
    return torch.from_numpy(s.clip(-1, 1)).to(torch.get_default_dtype())


def weighted_average(
    weights: torch.Tensor, values: torch.Tensor, k: int | None = None, damping: float = 0.0
) -> torch.Tensor:
    r"""What the k nearest say: :math:`\sum_j w_j v_j / (\delta + \sum_j |w_j|)` over the k largest weights of a row.

    δ pulls an average with little weight behind it to 0. Smaller weights without δ do not: a common factor cancels.

    Args:
        weights: ``(n, m)``, similarities; 0 for who is no neighbour.
        values: ``(n, m)``, ratings or what a baseline leaves of them.
        k: neighbours used in each row; all when left out.
        damping: δ ≥ 0, in units of the weights.

    Returns:
        ``(n,)``, in units of ``values``; 0 where all weights are 0.
    """
    if k is not None and k < weights.shape[1]:
        weights, nearest = weights.topk(k, dim=1)  # (n, k)
        values = values.gather(1, nearest)
    total = weights.abs().sum(1) + damping
    return (weights * values).sum(1) / total.where(total > 0, 1)


class ItemKNN:
    r"""Items like those that the user has (Sarwar et al. 2001; Deshpande and Karypis 2004); taught in chapter 4.

    :meth:`predict` takes, of the items that the user rated, the k most similar to the target. :meth:`score` counts an
    item of the user when it is among the k most similar to the target in the whole catalogue. Neighbours with a
    negative similarity count nowhere.

    Args:
        k: neighbours, at least 1.
        similarity: the kind, see :func:`similarities`.
        shrinkage: κ ≥ 0 of :func:`similarities`.
        damping: δ ≥ 0 of :func:`weighted_average`, for :meth:`predict`.
        common: see :func:`similarities`.

    Attributes:
        similarities: ``(n_items, n_items)``, in [0, 1], diagonal 0.
        biases: the ``BiasModel`` that ratings are compared with.

    Raises:
        InputError: an argument is out of range.

    Chosen on MovieLens-100K, inside training parts, three seeds each. RMSE (bias model .9435): k = 40 .918, 80 .924,
    300 .929; ``similarity="cosine"`` .920, ``"adjusted_cosine"`` with ``shrinkage=25`` .913, the best for ratings
    (without damping .916). NDCG@10: tfidf .247 for k = 40 and .261 for 300, cosine .238 and .252.
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
    ) -> None:
        _check(k=k, similarity=similarity, shrinkage=shrinkage, damping=damping)
        self.k, self.similarity, self.shrinkage = k, similarity, shrinkage
        self.damping, self.common = damping, common
        self.similarities: torch.Tensor | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Compute all similarities, and the biases that :meth:`predict` starts from.

        Args:
            interactions: the training part, at least one interaction.

        Raises:
            InputError: there are no interactions.
        """
        users, items, shape = (
            interactions.users,
            interactions.items,
            (interactions.n_users, interactions.n_items),
        )
        self.biases = BiasModel().fit(interactions)
        left = (interactions.ratings - self.biases.predict(users, items)).numpy()
        residuals = sparse.csr_array((left, (users.numpy(), items.numpy())), shape)
        # One column a possible neighbour, one row a user (UserKNN: an item) who has some of them.
        self._ratings, self._residuals, self._seen = (
            (x if self._neighbours_are_items else x.T).tocsr()
            for x in (interactions.csr(), residuals, interactions.csr(binary=True))
        )
        s = similarities(self._ratings.T, self.similarity, self.shrinkage, common=self.common)
        self.similarities = s.fill_diagonal_(0).clamp_(min=0)
        best, nearest = s.topk(min(self.k, len(s)), dim=1)
        rows = np.repeat(np.arange(len(s)), best.shape[1])
        self._nearest = sparse.csr_array((best.numpy().ravel(), (rows, nearest.numpy().ravel())), s.shape)
        return self

    def predict(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Bias model plus the damped average of what it left of the neighbours' ratings, ``(n,)``, not clipped.

        Args:
            users: user codes, ``(n,)``.
            items: item codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self.similarities is None:
            raise NotFittedError(self)
        predicted = self.biases.predict(users, items)
        pair = torch.as_tensor(users), torch.as_tensor(items)
        rows, targets = pair if self._neighbours_are_items else pair[::-1]
        for part in torch.arange(len(predicted)).split(max(1, _CHUNK // len(self.similarities))):
            seen, left = (
                torch.from_numpy(x[rows[part].numpy()].toarray()) for x in (self._seen, self._residuals)
            )
            weights = self.similarities[targets[part]] * seen
            predicted[part] += weighted_average(weights, left, self.k, self.damping).to(predicted.dtype)
        return predicted

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Sums of similarities, for lists, ``(len(users), n_items)``, at least 0; zeros where nothing is known.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self.similarities is None:
            raise NotFittedError(self)
        rows = check_codes(users, len(self.biases.user_bias), "users").numpy()
        scores = (
            self._seen[rows] @ self._nearest.T
            if self._neighbours_are_items
            else self._nearest[rows] @ self._seen.T
        )
        return torch.from_numpy(scores.toarray()).to(torch.get_default_dtype())


class UserKNN(ItemKNN):
    """Users who agree with the user (Herlocker et al. 1999); taught in chapter 4.

    Arguments and methods are those of :class:`ItemKNN`, with users as neighbours. :meth:`predict` takes, of the users
    who rated the item, the k most similar. :meth:`score` sums the similarities of those who have the item among the
    k most similar of all. ``similarities`` has the shape ``(n_users, n_users)``.

    Chosen as for :class:`ItemKNN`. RMSE: tfidf .935 for k = 40 and .936 for 80, cosine .937; ``"pearson"`` with
    ``shrinkage=25`` .927, the best for ratings (.931 without damping). NDCG@10: tfidf .249 for k = 40 and .257 for 80,
    cosine .242 and .250.
    """

    _neighbours_are_items = False


class EASE:
    r"""An item's score as a weighted sum of the user's items, the weights in closed form; taught in chapter 4.

    Minimises :math:`\|X - XB\|_F^2 + \lambda \|B\|_F^2` over B with zero diagonal, where X holds 1 for an interaction:
    :math:`B_{ij} = -P_{ij} / P_{jj}` with :math:`P = (X^\top X + \lambda I)^{-1}` (Steck 2019).

    Args:
        regularization: λ > 0. On validation parts of MovieLens-100K, three seeds: NDCG@10 .266 for 200, .2715 for 400,
            .272 for 600, a tie; ratings in place of ones gained nothing.

    Attributes:
        weights: B, ``(n_items, n_items)``; a negative weight counts against the target.

    Raises:
        InputError: ``regularization`` is not above 0.
    """

    def __init__(self, regularization: float = 400.0) -> None:
        if not 0 < regularization < np.inf:
            raise InputError("regularization", got=regularization, expected="a number above 0")
        self.regularization = regularization
        self.weights: torch.Tensor | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Invert one ``(n_items, n_items)`` matrix.

        Args:
            interactions: the training part; ratings are not looked at.
        """
        self._seen = interactions.csr(binary=True)
        gram = torch.from_numpy((self._seen.T @ self._seen).toarray())
        gram.diagonal().add_(self.regularization)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        self.weights = (inverse / -inverse.diagonal()).fill_diagonal_(0).to(torch.get_default_dtype())
        return self

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Sums of the weights of each user's items, ``(len(users), n_items)``; zeros for a user without items.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self.weights is None:
            raise NotFittedError(self)
        rows = check_codes(users, self._seen.shape[0], "users").numpy()
        return torch.from_numpy(self._seen[rows] @ self.weights.numpy()).to(torch.get_default_dtype())


def _prepared(matrix: object, kind: str) -> tuple[sparse.csr_array, sparse.csr_array, np.ndarray]:
    """The ratings as the kind wants them, ones at the same places, and the square of a row that is rounding alone."""
    if not sparse.issparse(matrix):
        dense = np.asarray(matrix, float)
        places = np.nonzero(~np.isnan(dense))
        matrix = sparse.coo_array((dense[places], places), dense.shape)
    matrix = sparse.coo_array(matrix)
    (n, m), row, column, values = matrix.shape, matrix.row, matrix.col, matrix.data.astype(float)
    noise = np.zeros(n)
    if kind == "tfidf":
        values = values * np.log(n / np.maximum(np.bincount(column, minlength=m), 1))[column]
    elif kind in ("pearson", "adjusted_cosine"):
        noise = 1e-12 * np.bincount(row, values**2, n)
        code, size = (row, n) if kind == "pearson" else (column, m)
        values = (
            values
            - (np.bincount(code, values, size) / np.maximum(np.bincount(code, minlength=size), 1))[code]
        )
    x, ones = (sparse.csr_array((data, (row, column)), (n, m)) for data in (values, np.ones(len(values))))
    return x, ones, noise


def _check(*, similarity: str, **numbers: float) -> None:
    """Refuse an unknown kind, a k below 1 and a negative constant."""
    if similarity not in _KINDS:
        raise InputError("similarity", got=repr(similarity), expected=f"one of {', '.join(_KINDS)}")
    check_counts(k=numbers.pop("k", 1))
    for name, number in numbers.items():
        if not 0 <= number < np.inf:
            raise InputError(name, got=number, expected="0 or a number above")
