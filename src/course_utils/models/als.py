"""Alternating least squares for ratings and for implicit feedback, chapter 5; sizes are those of ``least_squares``."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal, Self

import numpy as np
import torch
from torch.nn.functional import embedding

from course_utils.data.interactions import Interactions, check_pairs, check_sizes
from course_utils.errors import check_choice, check_counts, check_range, refuse
from course_utils.models.base import Codes, Described
from course_utils.models.least_squares import Rows, pad, ridge, solve, start


@dataclass(repr=False, eq=False)
class ALS(Described):
    r"""Rating prediction: :math:`\hat r_{ui} = \mu + b_u + b_i + p_u \cdot q_i`, fitted by alternating least squares.

    Minimises :math:`\sum (r_{ui} - \hat r_{ui})^2 + \lambda (\sum_u |p_u|^2 + \sum_i |q_i|^2)
    + \lambda_b (\sum_u b_u^2 + \sum_i b_i^2)`. A bias is solved together with its vector, as one more coordinate.
    Who has no ratings gets zeros. ``weighted`` multiplies :math:`|p_u|^2` and :math:`|q_i|^2` by the numbers of ratings
    (ALS-WR: Zhou, Wilkinson, Schreiber and Pan 2008, equation 2); about 0.14 is the right λ there. Without ``biases``
    it fits :math:`p_u \cdot q_i` alone, to ratings as they are. Defaults: validation on MovieLens-100K, chapter 5.

    After ``fit``: ``user_factors``, ``(n_users, factors)``, ``item_factors`` likewise; in rating units ``user_biases``,
    ``(n_users,)``, ``item_biases``, zeros without biases; ``loss_history``, the objective after each half-step.
    """

    factors: int = 60
    regularization: float = 14.0  # λ
    iterations: int = 20
    weighted: bool = False
    biases: bool = True
    seed: int = 0
    _: KW_ONLY
    bias_regularization: float = 3.0  # λ_b, the pull of that many ratings equal to the mean

    def __post_init__(self) -> None:
        check_counts(factors=self.factors, iterations=self.iterations)
        weights = {"regularization": self.regularization, "bias_regularization": self.bias_regularization}
        check_range("0 or more", **weights)
        check_choice((True, False), weighted=self.weighted)
        self.user_factors: torch.Tensor | None = None

    def fit(self, interactions: Interactions, *, item_factors: torch.Tensor | None = None) -> Self:
        """Solve users and items by turns, from ``item_factors``, ``(n_items, factors)``, or else from random ones."""
        check_sizes(interactions)
        by_user, by_item = Rows.both_sides(interactions, interactions.ratings)
        self.mean = float(interactions.ratings.mean())
        self._seen = by_user.lengths > 0, by_item.lengths > 0
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(len(by_item), self.factors, generator=generator, dtype=by_item.values.dtype)
        item = start(item_factors, 0.1 * drawn)
        if self.biases:  # one more coordinate: the bias
            item = torch.cat([item, torch.zeros_like(item[:, :1])], dim=1)
        self.loss_history = []
        for _ in range(self.iterations):
            user = self._half_step(by_user, item)
            self.loss_history.append(self._loss(by_user, by_item, user, item))
            item = self._half_step(by_item, user)
            self.loss_history.append(self._loss(by_user, by_item, user, item))
        self.user_factors, self.item_factors = user[:, : self.factors], item[:, : self.factors]
        self.user_biases, self.item_biases = (x[:, -1] if self.biases else x.new_zeros(len(x)) for x in (user, item))
        return self

    def _half_step(self, rows: Rows, other: torch.Tensor) -> torch.Tensor:
        """The best vectors of one side, given those of the other."""
        if not self.biases:
            return ridge(rows, other, rows.values, self._penalty(rows))
        design = torch.cat([other[:, :-1], torch.ones_like(other[:, :1])], dim=1)  # the 1 meets the own bias
        target = rows.values - self.mean - other[rows.columns, -1]
        return ridge(rows, design, target, self._penalty(rows))

    def _penalty(self, rows: Rows) -> torch.Tensor:
        """What each coordinate of each row is penalised by, ``(R, factors)``, one more with biases."""
        counts = rows.lengths.to(rows.values.dtype)[:, None] ** self.weighted  # 1 for False
        penalty = (self.regularization * counts).expand(-1, self.factors)
        if not self.biases:
            return penalty
        return torch.cat([penalty, torch.full_like(counts, self.bias_regularization)], dim=1)

    def _loss(self, by_user: Rows, by_item: Rows, user: torch.Tensor, item: torch.Tensor) -> float:
        """The objective of the class docstring."""
        error = by_user.values - by_user.products(user[:, : self.factors], item[:, : self.factors])
        if self.biases:
            bias = torch.repeat_interleave(user[:, -1], by_user.lengths) + item[by_user.columns, -1]
            error = error - self.mean - bias
        penalty = (self._penalty(by_user) * user**2).sum() + (self._penalty(by_item) * item**2).sum()
        return float(error.square().sum() + penalty)

    def predict(self, users: Codes, items: Codes) -> torch.Tensor:
        """Predicted ratings of pairs, ``(n,)``, not clipped."""
        self._fitted(self.user_factors)
        users, items = check_pairs(users, items, len(self.user_factors), len(self.item_factors))
        return self._finish((self.user_factors[users] * self.item_factors[items]).sum(dim=1), users, items)

    def score(self, users: Codes) -> torch.Tensor:
        """Predicted ratings of all items, ``(len(users), n_items)``."""
        users, items = self._known(users, self.user_factors), torch.arange(len(self.item_factors))
        return self._finish(self.user_factors[users] @ self.item_factors.mT, users[:, None], items)

    def _finish(self, product: torch.Tensor, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """From products of vectors to ratings."""
        if self.biases:
            return self.mean + self.user_biases[users] + self.item_biases[items] + product
        return torch.where(self._seen[0][users] & self._seen[1][items], product, self.mean)


@dataclass(repr=False, eq=False)
class ImplicitALS(Described):
    r"""Ranking from implicit feedback by weighted least squares on all cells, seen or not.

    Minimises :math:`\sum_{u,i} c_{ui} (t_{ui} - p_u \cdot q_i)^2 + \lambda (\sum_u |p_u|^2 + \sum_i |q_i|^2)`.
    An interaction has the target :math:`t = 1` and confidence :math:`c = 1 + \alpha r`, every other cell :math:`t = 0`
    and :math:`c = 1` (Hu, Koren and Volinsky 2008, equation 3). ``implicit`` takes :math:`\alpha r` for it: to compare,
    hand it :math:`1 + \alpha r` with its own alpha at 1. The ``solver`` ``"cg"`` takes ``cg_steps`` conjugate-gradient
    steps, ``"cholesky"`` is exact and slower. Defaults: validation on MovieLens-100K, chapter 5.
    """

    factors: int = 64
    regularization: float = 40.0  # λ
    alpha: float = 1.25  # α, above 0, for stars as r; about 5 is right where every interaction counts 1
    iterations: int = 15
    solver: Literal["cg", "cholesky"] = "cg"
    cg_steps: int = 2
    seed: int = 0
    _: KW_ONLY
    calculate_training_loss: bool = False  # fill loss_history with the objective after each iteration

    def __post_init__(self) -> None:
        check_counts(factors=self.factors, iterations=self.iterations, cg_steps=self.cg_steps)
        check_range("above 0", regularization=self.regularization, alpha=self.alpha)
        check_choice(("cg", "cholesky"), solver=self.solver)
        self.user_factors: torch.Tensor | None = None

    def fit(self, interactions: Interactions, *, item_factors: torch.Tensor | None = None) -> Self:
        """Solve users and items by turns, as :meth:`ALS.fit`; ratings above 0 say how strong an interaction is."""
        check_sizes(interactions)
        _check_strengths("interactions", interactions)
        by_user, by_item = Rows.both_sides(interactions, self.alpha * interactions.ratings)
        options = {"generator": torch.Generator().manual_seed(self.seed), "dtype": by_user.values.dtype}
        P, drawn = (0.01 * torch.rand(len(rows), self.factors, **options) for rows in (by_user, by_item))
        Q = start(item_factors, drawn)
        self.loss_history = []
        for _ in range(self.iterations):
            if self.solver == "cg":
                P = implicit_cg(by_user, P, Q, self.regularization, self.cg_steps)
                Q = implicit_cg(by_item, Q, P, self.regularization, self.cg_steps)
            else:
                P = implicit_cholesky(by_user, Q, self.regularization)
                Q = implicit_cholesky(by_item, P, self.regularization)
            if self.calculate_training_loss:
                self.loss_history.append(implicit_loss(by_user, P, Q, self.regularization))
        self.user_factors, self.item_factors = P, Q
        return self

    def score(self, users: Codes) -> torch.Tensor:
        """How much each item should be liked, 0 to 1 or so, ``(len(users), n_items)``; 0 for a new user."""
        return self.user_factors[self._known(users, self.user_factors)] @ self.item_factors.mT

    def fold_in(self, history: Interactions) -> torch.Tensor:
        """Scores for new users: the exact half-step from their items, ``(history.n_users, n_items)``."""
        self._fitted(self.user_factors)
        check_sizes(history, None, len(self.item_factors))
        _check_strengths("history", history)
        rows, _ = Rows.both_sides(history, self.alpha * history.ratings)
        return implicit_cholesky(rows, self.item_factors, self.regularization) @ self.item_factors.mT


# Below, the values of ``rows`` are the extra confidence d = alpha r, above 0; factors are P, (R, F), and Q, (C, F).


def implicit_loss(rows: Rows, P: torch.Tensor, Q: torch.Tensor, regularization: float) -> float:
    r"""The objective of :class:`ImplicitALS` over all cells, without visiting the empty ones.

    Over all cells :math:`(p_u \cdot q_i)^2` sums to the elementwise product of :math:`P^\top P` and :math:`Q^\top Q`.
    """
    fitted = rows.products(P, Q)
    entries = (1 + rows.values) * (1 - fitted) ** 2 - fitted**2
    everywhere = ((P.mT @ P) * (Q.mT @ Q)).sum()
    return float(entries.double().sum() + everywhere + regularization * (P.square().sum() + Q.square().sum()))


def implicit_cholesky(rows: Rows, Q: torch.Tensor, regularization: float) -> torch.Tensor:
    r"""The exact step, :math:`p_u = (Q^\top Q + Q_u^\top D_u Q_u + \lambda I)^{-1} Q_u^\top (1 + d_u)`, ``(R, F)``.

    Hu et al. (2008), equation 4. In the coordinates of :func:`_whiten` the matrix is :math:`I + S^\top S` with
    :math:`S = D_u^{1/2} Z_u`, the right side :math:`S^\top t` with :math:`t = D_u^{-1/2} (1 + d_u)`. A row with fewer
    entries than factors solves :math:`(I + S S^\top) a = t` of one unknown an entry instead: :math:`w_u = S^\top a`.
    """
    Z, _, back = _whiten(Q, regularization)
    Z_padded, root = pad(Z), pad(rows.values.sqrt())
    target = pad((1 + rows.values) / root[:-1])
    eye = torch.eye(Q.shape[1], dtype=Q.dtype)
    W = Q.new_empty(len(rows), Q.shape[1])
    for ids, columns, entries in rows.batches(Q.shape[1]):
        t, length = target[entries], columns.shape[1]  # (B, L)
        S = embedding(columns, Z_padded).mul_(root[entries, None])  # (B, L, F)
        if length < Q.shape[1]:
            a = solve(torch.baddbmm(eye[:length, :length], S, S.mT), t)  # (B, L)
            W[ids] = (a[:, None] @ S)[:, 0]
        else:
            right = (t[:, None] @ S)[:, 0]  # (B, F), ten times faster than S.mT @ t[..., None]
            W[ids] = solve(torch.baddbmm(eye, S.mT, S), right)
    return W @ back


def implicit_cg(rows: Rows, P: torch.Tensor, Q: torch.Tensor, regularization: float, steps: int) -> torch.Tensor:
    r"""Nearly the same by ``steps`` conjugate-gradient steps from the present ``P``, for all rows at once, ``(R, F)``.

    Takács, Pilászy and Tikk (2011). In the coordinates of :func:`_whiten` each matrix is nearly the identity, so two
    steps come close. A product with all takes two sparse ones: :math:`q = Z_u p_u` on entries, :math:`Z_u^\top (d q)`.
    """
    Z, there, back = _whiten(Q, regularization)
    extra, tiny = rows.values, torch.finfo(Q.dtype).tiny
    W = P @ there
    residual = rows.matrix(1 + extra - extra * rows.products(W, Z)) @ Z - W  # (R, F)
    direction, squared = residual, residual.square().sum(1, keepdim=True)
    for step in range(steps):
        q = rows.products(direction, Z)  # z . p on each entry, (N,)
        bend = torch.segment_reduce(extra * q * q, "sum", offsets=rows.starts)  # p . (Z' D Z) p
        length = squared / (direction.square().sum(1) + bend + tiny)[:, None]
        W = torch.addcmul(W, length, direction)
        if step < steps - 1:  # the last step needs no new direction
            product = (rows.matrix(extra * q) @ Z).add_(direction)
            residual = torch.addcmul(residual, length, product, value=-1)
            before, squared = squared, residual.square().sum(1, keepdim=True)
            direction = torch.addcmul(residual, squared / (before + tiny), direction)
    return W @ back


def _whiten(Q: torch.Tensor, regularization: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    r"""Coordinates in which :math:`Q^\top Q + \lambda I = C C^\top` becomes the identity.

    :math:`Z = Q C^{-\top}`, ``(C, F)``; then the matrices that take row factors there and back,
    :math:`W = P C` and :math:`P = W C^{-1}`, ``(F, F)``. Products :math:`p \cdot q = w \cdot z` stay.
    """
    eye = torch.eye(Q.shape[1], dtype=Q.dtype)
    there = torch.linalg.cholesky(Q.mT @ Q + regularization * eye)
    back = torch.linalg.solve_triangular(there, eye, upper=False)
    # Numpy asks Linux for huge pages, torch does not: entries fetch from a Z that leaves the caches a quarter faster.
    room = torch.from_numpy(np.empty_like(Q)) if Q.nbytes >= 2**22 else None
    return torch.mm(Q, back.mT, out=room), there, back


def _check_strengths(name: str, part: Interactions) -> None:
    least, most = part.ratings.min().item(), part.ratings.max().item()
    way = "above 0, for they are strengths: shift a scale such as 0..100 to 1..5, or load without rating"
    refuse(not 0 < least <= most < float("inf"), name, f"ratings from {least:g} to {most:g}", f"ratings {way}")
