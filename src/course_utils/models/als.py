"""Matrix factorization by alternating least squares, for ratings and for implicit feedback; chapter 5.

Both models hold one vector a user and one an item. With the item vectors fixed, each user's vector is the answer
of a small ridge regression, and the other way round. Each half-step is the exact minimum of its block, so the
objective never rises. ``BayesianMF`` draws the vectors where ``ALS`` solves for them; it lives in ``bayesian_mf``.
Every cell of the matrix counts, seen or not, and still no
step looks at more than the entries and one small matrix. Sizes: ``R`` rows, ``C`` columns, ``N`` stored entries,
``F`` factors; a batch has ``B`` rows of ``L`` places.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from torch.nn.functional import embedding

from course_utils.data.interactions import Interactions, check_codes
from course_utils.errors import InputError, NotFittedError, check_counts
from course_utils.models.least_squares import Rows, pad, ridge, solve, start

# ---- explicit --------------------------------------------------------------------------------------------------


class ALS:
    r"""Rating prediction: :math:`\hat r_{ui} = \mu + b_u + b_i + p_u \cdot q_i`, fitted by alternating least squares.

    Minimises :math:`\sum (r_{ui} - \hat r_{ui})^2 + \lambda (\sum_u n_u |p_u|^2 + \sum_i n_i |q_i|^2)
    + \lambda_b (\sum_u b_u^2 + \sum_i b_i^2)`, where :math:`n_u` and :math:`n_i` count ratings (ALS-WR: Zhou,
    Wilkinson, Schreiber and Pan 2008, equation 2). A bias is solved together with its vector, as one more
    coordinate. A user or an item without ratings gets zeros, so its prediction falls back to the mean and biases.

    The defaults were chosen on random tenths of the training parts of ``k_fold(seed=0)`` of MovieLens-100K.

    Args:
        factors: length of a vector, at least 1.
        regularization: :math:`\lambda`, 0 or more; how much is right depends on ``weighted``.
        iterations: how often users and items are solved, at least 1.
        weighted: True multiplies :math:`\lambda` by the counts (ALS-WR), False by 1 (about 14 is right there). A
            number :math:`\nu` between 0 and 1 multiplies by :math:`n^\nu` (Rendle et al. 2022, section 3.3).
        biases: False fits :math:`\hat r_{ui} = p_u \cdot q_i` alone, to ratings as they are.
        seed: seed of the start, normal numbers of standard deviation 0.1.
        bias_regularization: :math:`\lambda_b`, 0 or more: the pull of that many ratings equal to the mean.

    Attributes:
        user_factors: ``(n_users, factors)``.
        item_factors: ``(n_items, factors)``.
        user_biases: ``(n_users,)``, in rating units; zeros without biases.
        item_biases: ``(n_items,)``.
        mean: mean of the training ratings.
        loss_history: the objective after each half-step, users first: ``2 * iterations`` numbers.
    """

    def __init__(
        self,
        factors: int = 30,
        regularization: float = 0.14,
        iterations: int = 20,
        weighted: bool | float = True,
        biases: bool = True,
        seed: int = 0,
        *,
        bias_regularization: float = 3.0,
    ) -> None:
        check_counts(factors=factors, iterations=iterations)
        for name, value in (("regularization", regularization), ("bias_regularization", bias_regularization)):
            if not value >= 0:
                raise InputError(name, got=value, expected="a number, 0 or more")
        if not 0 <= float(weighted) <= 1:
            raise InputError("weighted", got=weighted, expected="True, False, or a power between 0 and 1")
        self.factors, self.regularization, self.iterations = factors, regularization, iterations
        self.weighted, self.biases, self.seed = weighted, biases, seed
        self.bias_regularization = bias_regularization
        self.user_factors: torch.Tensor | None = None

    def fit(self, interactions: Interactions, *, item_factors: torch.Tensor | None = None) -> Self:
        """Solve users and items by turns.

        Args:
            interactions: the training part, with ratings.
            item_factors: item vectors to start from, ``(n_items, factors)``; random ones when left out.

        Raises:
            InputError: there are no interactions, the start has another shape, or a system is singular, which
                happens with ``regularization=0`` alone.
        """
        if len(interactions) == 0:
            raise InputError("interactions", got="none", expected="at least one")
        by_user, by_item = Rows.both_sides(interactions, interactions.ratings)
        self.mean = float(interactions.ratings.mean())
        self._seen = by_user.lengths > 0, by_item.lengths > 0
        shape = (interactions.n_items, self.factors)
        generator = torch.Generator().manual_seed(self.seed)
        drawn = 0.1 * torch.randn(shape, generator=generator, dtype=interactions.ratings.dtype)
        item = start(item_factors, shape, "item_factors", drawn)
        if self.biases:  # one more coordinate: the bias
            item = torch.cat([item, torch.zeros_like(item[:, :1])], dim=1)
        self.loss_history = []
        for _ in range(self.iterations):
            user = self._half_step(by_user, item)
            self.loss_history.append(self._loss(by_user, by_item, user, item))
            item = self._half_step(by_item, user)
            self.loss_history.append(self._loss(by_user, by_item, user, item))
        self.user_factors, self.item_factors = user[:, : self.factors], item[:, : self.factors]
        self.user_biases, self.item_biases = (
            (x[:, -1] if self.biases else x.new_zeros(len(x))) for x in (user, item)
        )
        return self

    def _half_step(self, rows: Rows, other: torch.Tensor) -> torch.Tensor:
        """The best vectors of one side, given those of the other."""
        if not self.biases:
            return ridge(rows, other, rows.values, self._penalty(rows))
        design = torch.cat([other[:, :-1], torch.ones_like(other[:, :1])], dim=1)
        target = rows.values - self.mean - other[rows.columns, -1]
        return ridge(rows, design, target, self._penalty(rows))

    def _penalty(self, rows: Rows) -> torch.Tensor:
        """What each coordinate of each row is penalised by, ``(n_rows, factors)``, one more with biases."""
        counts = rows.lengths.to(rows.values.dtype)[:, None] ** float(self.weighted)
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

    def predict(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Predicted ratings of pairs, ``(n,)``, not clipped.

        Args:
            users: user codes, ``(n,)``.
            items: item codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown, or the two differ in length.
        """
        users, items = self._codes(users, items)
        product = (self.user_factors[users] * self.item_factors[items]).sum(dim=1)
        return self._finish(product, users, items)

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Predicted ratings of all items, ``(len(users), n_items)``.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        users, _ = self._codes(users)
        items = torch.arange(len(self.item_factors))
        return self._finish(self.user_factors[users] @ self.item_factors.mT, users[:, None], items)

    def _codes(
        self, users: torch.Tensor, items: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Checked codes of a fitted model."""
        if self.user_factors is None:
            raise NotFittedError(self)
        users = check_codes(users, len(self.user_factors), "users")
        if items is None:
            return users, None
        items = check_codes(items, len(self.item_factors), "items")
        if len(users) != len(items):
            raise InputError("items", got=f"{len(items)} codes", expected=f"{len(users)}, one a user")
        return users, items

    def _finish(self, product: torch.Tensor, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """From products of vectors to ratings."""
        if self.biases:
            return self.mean + self.user_biases[users] + self.item_biases[items] + product
        seen_users, seen_items = self._seen
        return torch.where(seen_users[users] & seen_items[items], product, self.mean)


# ---- implicit --------------------------------------------------------------------------------------------------


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
