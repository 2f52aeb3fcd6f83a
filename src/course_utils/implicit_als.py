"""Alternating least squares for clicks, views and purchases (floor 3); taught in chapter 5.

Import the model as ``course_utils.als.ImplicitALS``. Every cell of the matrix counts, seen or not, and still no
step looks at more than the entries and one small matrix. Sizes: ``R`` rows, ``C`` columns, ``N`` stored entries,
``F`` factors; a batch has ``B`` rows of ``L`` places.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from torch.nn.functional import embedding

from course_utils.errors import InputError, NotFittedError
from course_utils.interactions import Interactions, check_codes
from course_utils.least_squares import Rows, check_counts, pad, solve, start


class ImplicitALS:
    r"""Ranking from implicit feedback by weighted least squares on all cells.

    Minimises :math:`\sum_{u,i} c_{ui} (t_{ui} - p_u \cdot q_i)^2 + \lambda (\sum_u |p_u|^2 + \sum_i |q_i|^2)`.
    An interaction has the target :math:`t = 1` and confidence :math:`c = 1 + \alpha r`, every other cell :math:`t = 0`
    and :math:`c = 1` (Hu, Koren and Volinsky 2008, equation 3). The library ``implicit`` takes :math:`\alpha r` for
    the confidence of an interaction: to compare, hand it :math:`1 + \alpha r` with its own alpha at 1.

    The defaults were chosen on random fifths of the training parts of ``random_split`` of MovieLens-100K (seeds 0, 1
    and 2), with the stars as :math:`r`. Where every interaction counts 1, about 5 is right for :math:`\alpha`.

    Args:
        factors: length of a vector, at least 1.
        regularization: :math:`\lambda`, above 0, the same for every vector.
        alpha: :math:`\alpha`, above 0: extra confidence of an interaction for each unit of its rating.
        iterations: how often users and items are solved, at least 1.
        solver: ``"cg"`` takes ``cg_steps`` conjugate-gradient steps from the present vectors, ``"cholesky"`` is
            exact and slower.
        cg_steps: at least 1.
        seed: seed of the start.
        calculate_training_loss: fill ``loss_history``.

    Attributes:
        user_factors: ``(n_users, factors)``.
        item_factors: ``(n_items, factors)``.
        loss_history: the objective after each iteration, if asked for.
    """

    def __init__(
        self,
        factors: int = 64,
        regularization: float = 40.0,
        alpha: float = 1.25,
        iterations: int = 15,
        solver: Literal["cg", "cholesky"] = "cg",
        cg_steps: int = 2,
        seed: int = 0,
        *,
        calculate_training_loss: bool = False,
    ) -> None:
        check_counts(factors=factors, iterations=iterations, cg_steps=cg_steps)
        for name, value in (("regularization", regularization), ("alpha", alpha)):
            if not value > 0:
                raise InputError(name, got=value, expected="a number above 0")
        if solver not in ("cg", "cholesky"):
            raise InputError("solver", got=repr(solver), expected="'cg' or 'cholesky'")
        self.factors, self.regularization, self.alpha = factors, regularization, alpha
        self.iterations, self.solver, self.cg_steps, self.seed = iterations, solver, cg_steps, seed
        self.calculate_training_loss = calculate_training_loss
        self.loss_history: list[float] = []
        self.user_factors: torch.Tensor | None = None

    def fit(
        self,
        interactions: Interactions,
        *,
        user_factors: torch.Tensor | None = None,
        item_factors: torch.Tensor | None = None,
    ) -> Self:
        """Solve users and items by turns.

        Args:
            interactions: the training part; ratings above 0 say how strong an interaction is.
            user_factors: vectors to start from, ``(n_users, factors)``; random ones when left out.
            item_factors: likewise, ``(n_items, factors)``.

        Raises:
            InputError: there are no interactions, a rating is not above 0, or a start has another shape.
        """
        if len(interactions) == 0:
            raise InputError("interactions", got="none", expected="at least one")
        ratings = interactions.ratings
        if not bool((ratings > 0).all()):
            got = f"ratings down to {float(ratings.min()):g}"
            raise InputError("interactions", got=got, expected="ratings above 0")
        shapes = (interactions.n_users, self.factors), (interactions.n_items, self.factors)
        by_user, by_item = Rows.both_sides(interactions, self.alpha * ratings)
        generator = torch.Generator().manual_seed(self.seed)
        users, items = (torch.rand(s, generator=generator, dtype=ratings.dtype) * 0.01 for s in shapes)
        P = start(user_factors, shapes[0], "user_factors", users)
        Q = start(item_factors, shapes[1], "item_factors", items)
        self.loss_history = []
        for _ in range(self.iterations):
            P = self._half_step(by_user, P, Q)
            Q = self._half_step(by_item, Q, P)
            if self.calculate_training_loss:
                self.loss_history.append(implicit_loss(by_user, P, Q, self.regularization))
        self.user_factors, self.item_factors = P, Q
        return self

    def _half_step(self, rows: Rows, P: torch.Tensor, Q: torch.Tensor) -> torch.Tensor:
        """Better vectors ``P`` of the rows, given those of the columns."""
        if self.solver == "cholesky":
            return implicit_cholesky(rows, Q, self.regularization)
        return implicit_cg(rows, P, Q, self.regularization, self.cg_steps)

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """How much each item is expected to be liked, near 0 .. 1, ``(len(users), n_items)``.

        Args:
            users: user codes, ``(n,)``. A user without interactions scores 0 everywhere.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self.user_factors is None:
            raise NotFittedError(self)
        return self.user_factors[check_codes(users, len(self.user_factors), "users")] @ self.item_factors.mT


def implicit_loss(rows: Rows, P: torch.Tensor, Q: torch.Tensor, regularization: float) -> float:
    r"""The objective of :class:`ImplicitALS` over all cells, without visiting the empty ones.

    The empty cells cost :math:`(p_u \cdot q_i)^2` each. Over all cells this is the sum of the elementwise product of
    :math:`P^\top P` and :math:`Q^\top Q`; on the entries it is taken off again.

    Args:
        rows: the entries, with the extra confidence :math:`d = \alpha r` as values.
        P: factors of the rows, ``(R, F)``.
        Q: factors of the columns, ``(C, F)``.
        regularization: :math:`\lambda`.
    """
    fitted = rows.products(P, Q)
    entries = (1 + rows.values) * (1 - fitted) ** 2 - fitted**2
    everywhere = ((P.mT @ P) * (Q.mT @ Q)).sum()
    return float(entries.double().sum() + everywhere + regularization * (P.square().sum() + Q.square().sum()))


def implicit_cholesky(rows: Rows, Q: torch.Tensor, regularization: float) -> torch.Tensor:
    r"""Exact implicit step: :math:`p_u = (Q^\top Q + Q_u^\top D_u Q_u + \lambda I)^{-1} Q_u^\top (1 + d_u)`.

    Hu, Koren and Volinsky (2008), equation 4, with :math:`d = \alpha r` the extra confidence of an entry. In the
    coordinates of :func:`whiten` the matrix is :math:`I + Z_u^\top D_u Z_u`. A row with fewer entries than factors
    then solves the smaller system :math:`(I + D^{1/2} Z_u Z_u^\top D^{1/2}) a = D^{-1/2} (1 + d)` of one unknown an
    entry instead, and has :math:`w_u = Z_u^\top D^{1/2} a`.

    Args:
        rows: the entries, with :math:`d`, above 0, as values.
        Q: factors of the columns, ``(C, F)``.
        regularization: :math:`\lambda`, above 0.

    Returns:
        Factors of the rows, ``(R, F)``.
    """
    Z, _, back = whiten(Q, regularization)
    right = rows.matrix(1 + rows.values) @ Z  # (R, F)
    Z_padded, root = pad(Z), pad(rows.values.sqrt())
    eye = torch.eye(Q.shape[1], dtype=Q.dtype)
    dual, long = torch.zeros_like(root), []
    for ids, columns, entries in rows.batches(Q.shape[1]):
        s, length = root[entries], columns.shape[1]  # (B, L)
        scaled = embedding(columns, Z_padded).mul_(s[..., None])  # (B, L, F)
        if length < Q.shape[1]:
            gram = torch.baddbmm(eye[:length, :length], scaled, scaled.mT)  # (B, L, L)
            target = torch.where(s > 0, 1 / s + s, 0.0)  # (1 + d) / sqrt(d), and 0 for padding
            dual[entries] = s * solve(gram, target)
        else:
            gram = torch.baddbmm(eye, scaled.mT, scaled)  # (B, F, F)
            long.append((ids, solve(gram, right[ids])))
    W = rows.matrix(dual[:-1]) @ Z  # w = Z_u' a for the short rows
    for ids, solved in long:
        W[ids] = solved
    return W @ back


def implicit_cg(
    rows: Rows, P: torch.Tensor, Q: torch.Tensor, regularization: float, steps: int
) -> torch.Tensor:
    r"""Nearly the same step by conjugate gradients from the present factors, for all rows at once.

    Takács, Pilászy and Tikk (2011). In the coordinates of :func:`whiten` the matrix of each row is the identity plus
    a small part, so two steps come close. A product with all matrices is two sparse products:
    :math:`q = Z_u p_u` on the entries alone, then :math:`Z_u^\top (d q)`.

    Args:
        rows: the entries, with the extra confidence :math:`d = \alpha r`, above 0, as values.
        P: factors of the rows to start from, ``(R, F)``.
        Q: factors of the columns, ``(C, F)``.
        regularization: :math:`\lambda`, above 0.
        steps: conjugate-gradient steps, at least 1.

    Returns:
        Better factors of the rows, ``(R, F)``.
    """
    Z, there, back = whiten(Q, regularization)
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


def whiten(Q: torch.Tensor, regularization: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    r"""Coordinates in which :math:`Q^\top Q + \lambda I = C C^\top` becomes the identity.

    Returns:
        :math:`Z = Q C^{-\top}`, ``(C, F)``; then the matrices that take row factors there and back,
        :math:`W = P C` and :math:`P = W C^{-1}`, ``(F, F)``. Products :math:`p \cdot q = w \cdot z` stay.
    """
    eye = torch.eye(Q.shape[1], dtype=Q.dtype)
    there = torch.linalg.cholesky(Q.mT @ Q + regularization * eye)
    back = torch.linalg.solve_triangular(there, eye, upper=False)
    return Q @ back.mT, there, back
