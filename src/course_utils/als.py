"""Matrix factorisation by alternating least squares (floor 3); taught in chapter 5.

Both models hold one vector a user and one an item. With the item vectors fixed, each user's vector is the answer
of a small ridge regression, and the other way round. Each half-step is the exact minimum of its block, so the
objective never rises. ``BayesianMF`` draws the vectors where ``ALS`` solves for them; it lives in ``bayes``.
"""

from __future__ import annotations

from typing import Self

import torch

from course_utils.bayes import BayesianMF
from course_utils.errors import InputError, NotFittedError
from course_utils.implicit_als import ImplicitALS
from course_utils.interactions import Interactions, check_codes
from course_utils.least_squares import Rows, check_counts, ridge, start

__all__ = ["ALS", "BayesianMF", "ImplicitALS"]


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
