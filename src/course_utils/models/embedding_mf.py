"""Matrix factorisation as an embedding model, trained by gradient steps."""

from __future__ import annotations

import math
from typing import Self

import pandas as pd
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from course_utils.data.interactions import Interactions, check_codes, check_sizes
from course_utils.errors import InputError, check_counts
from course_utils.learning import loop, losses
from course_utils.learning.negatives import uniform

_DEFAULTS = {
    "mse": {"epochs": 15, "lr": 0.01, "regularization": 0.11, "negatives": 0},
    "bce": {"epochs": 20, "lr": 0.01, "regularization": 0.006, "negatives": 10},
    "bpr": {"epochs": 30, "lr": 0.02, "regularization": 0.015, "negatives": 4},
}


class MatrixFactorization(nn.Module):
    r"""A score from two look-ups: :math:`s_{ui} = \mu + b_u + b_i + p_u^\top q_i`; taught in chapter 6.

    Koren, Bell and Volinsky (2009), equations 2 and 4. With n users, m items and f factors it has (n + m) f
    parameters, and n + m + 1 more with biases.

    Each factor starts as a draw from :math:`N(0, \sigma^2)`, biases start at 0. A dot product of two such rows has
    standard deviation :math:`\sigma^2 \sqrt f`: with σ = 1 that is 5.7 stars at f = 32, with 0.01 it is almost none.
    So training starts at the mean.

    Args:
        n_users: number of user codes.
        n_items: number of item codes.
        factors: length of a row of the two tables, at least 1; any number does.
        biases: whether the score has :math:`\mu`, :math:`b_u` and :math:`b_i`.
        std: σ, the standard deviation of the factors at the start, above 0.
        mean: μ at the start. :meth:`fit` sets it from the data.
        seed: seed of the start, and of the batches in :meth:`fit`. The global generator has no part in it.

    Attributes:
        user_factors: embedding, weight ``(n_users, factors)``.
        item_factors: embedding, weight ``(n_items, factors)``.
        user_biases: embedding, weight ``(n_users, 1)``; only with ``biases``, as the next two.
        item_biases: embedding, weight ``(n_items, 1)``.
        mean: parameter of shape ``()``.
        history: what ``loop.fit`` returned, after :meth:`fit`.

    Raises:
        InputError: a size is below 1, ``std`` is not above 0, or there is a ``mean`` without ``biases``.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        factors: int = 32,
        biases: bool = True,
        *,
        std: float = 0.01,
        mean: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_counts(n_users=n_users, n_items=n_items, factors=factors)
        if not std > 0:  # from zero factors neither table gets a gradient
            raise InputError("std", got=std, expected="a number above 0")
        if mean and not biases:
            raise InputError("mean", got=mean, expected="0 without biases")
        self.n_users, self.n_items = n_users, n_items
        self.biases, self.std, self.seed = biases, std, seed
        self.history: pd.DataFrame | None = None
        self._loss = "mse"
        self.user_factors = nn.Embedding(n_users, factors)
        self.item_factors = nn.Embedding(n_items, factors)
        if biases:
            self.user_biases = nn.Embedding(n_users, 1)
            self.item_biases = nn.Embedding(n_items, 1)
            self.mean = nn.Parameter(torch.zeros(()))
        self.reset_parameters(mean)

    @torch.no_grad()
    def reset_parameters(self, mean: float = 0.0) -> None:
        """Go back to the start: the same small factors for the same seed, biases 0, and this mean."""
        generator = torch.Generator(self.user_factors.weight.device).manual_seed(self.seed)
        for table in (self.user_factors, self.item_factors):
            table.weight.normal_(0.0, self.std, generator=generator)
        if self.biases:
            self.user_biases.weight.zero_()
            self.item_biases.weight.zero_()
            self.mean.fill_(mean)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Scores of pairs, ``(B,)``.

        Args:
            users: user codes, ``(B,)``.
            items: item codes, ``(B,)``. Other shapes that broadcast do too: ``(B, 1)`` with ``(B, n)``.
        """
        scores = (self.user_factors(users) * self.item_factors(items)).sum(-1)  # (B, f) -> (B,)
        if self.biases:
            scores = scores + self.mean + self.user_biases(users)[..., 0] + self.item_biases(items)[..., 0]
        return scores

    def penalty(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        r"""The mean over the pairs of :math:`|p_u|^2 + |q_i|^2`, a tensor of shape ``()``.

        A row counts as often as it occurs: rows outside the batch feel nothing, and over an epoch each row is
        pulled in proportion to its number of ratings, as in ALS-WR. Mean and biases are left free.

        Args:
            users: user codes, any shape.
            items: item codes, any shape.
        """
        return (
            self.user_factors(users).square().sum(-1).mean()
            + self.item_factors(items).square().sum(-1).mean()
        )

    def fit(
        self,
        interactions: Interactions,
        *,
        loss: str = "mse",
        epochs: int | None = None,
        lr: float | None = None,
        regularization: float | None = None,
        batch_size: int = 1024,
        negatives: int | None = None,
        **options: object,
    ) -> Self:
        r"""Start anew and minimise loss plus regularization times :meth:`penalty`.

        Adam; its step size falls in a straight line from ``lr`` to 0. The defaults were chosen by validation
        inside the training part of one split of MovieLens-100K, those of ``"bpr"`` with 64 factors.

        Args:
            interactions: the training part.
            loss: ``"mse"`` for ratings: squared error, μ starts at the mean rating. ``"bce"`` for clicks: each
                interaction is a 1 whatever its rating, beside ``negatives`` unseen items as 0, drawn anew in each
                epoch; the score is a log odds. ``"bpr"`` for clicks, by pairs: each interaction shall lead each of
                its unseen items (Rendle et al. 2009; chapter 10). It cannot move μ and :math:`b_u`, which stay 0.
            epochs: passes over the interactions (15, 20 and 30 for the three losses, unless given).
            lr: step size at the start (0.01, 0.01 and 0.02, unless given).
            regularization: weight of the penalty, 0 or more (0.11, 0.006 and 0.015, unless given).
            batch_size: interactions a step.
            negatives: unseen items for each interaction, for clicks alone (10 and 4, unless given).
            options: ``validate``, ``patience``, ``higher_is_better``, ``progress`` of
                :func:`course_utils.learning.loop.fit`, which refuses any other.

        Raises:
            InputError: an argument is out of range, or the interactions have other sizes than the tables.
            DivergedError: a loss became nan or infinite.
        """
        if loss not in _DEFAULTS:
            raise InputError("loss", got=repr(loss), expected=f"one of {', '.join(_DEFAULTS)}")
        given = {"epochs": epochs, "lr": lr, "regularization": regularization, "negatives": negatives}
        chosen = {name: _DEFAULTS[loss][name] if value is None else value for name, value in given.items()}
        epochs, lr, regularization, negatives = chosen.values()
        if not regularization >= 0:
            raise InputError("regularization", got=regularization, expected="0 or more")
        check_sizes(interactions, self.n_users, self.n_items)
        generator = torch.Generator().manual_seed(self.seed)
        tensors = (interactions.users, interactions.items, interactions.ratings)
        batches = loop.batches(*tensors, batch_size=batch_size, generator=generator)
        if loss == "mse":
            objective, start = _rating_loss(regularization), float(interactions.ratings.mean())
        else:
            objective = _click_loss(loss, interactions, negatives, regularization, generator)
            # the log odds of one click among 1 + negatives; pairs leave the level of the scores open
            start = -math.log(negatives) if loss == "bce" else 0.0
        self.reset_parameters(start)
        self._loss = loss
        self.history = loop.fit(self, batches, objective, epochs=epochs, lr=lr, decay=True, **options)
        return self

    @torch.no_grad()
    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Scores of all items, ``(len(users), n_items)``: ratings, log odds after ``"bce"``, no unit after ``"bpr"``.

        A model that was not trained scores by its start, as modules do.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            InputError: a code is unknown.
        """
        scores = self.user_factors(check_codes(users, self.n_users, "users")) @ self.item_factors.weight.T
        if self.biases:
            scores = scores + self.mean + self.user_biases(users) + self.item_biases.weight[:, 0]
        return scores

    @torch.no_grad()
    def predict(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Predicted ratings of pairs, ``(n,)``, not clipped.

        Args:
            users: user codes, ``(n,)``.
            items: item codes, ``(n,)``.

        Raises:
            InputError: a code is unknown, or the model was trained on clicks and so knows no ratings.
        """
        if self._loss != "mse":
            raise InputError("loss", got=repr(self._loss), expected="'mse': clicks say nothing about ratings")
        return self(check_codes(users, self.n_users, "users"), check_codes(items, self.n_items, "items"))


def _rating_loss(regularization: float) -> loop.Loss:
    """Squared error and penalty of a batch of users, items and ratings."""

    def loss(module: MatrixFactorization, batch: loop.Batch) -> dict[str, torch.Tensor]:
        users, items, ratings = batch
        error = mse_loss(module(users, items), ratings)
        return {"mse": error, "penalty": regularization * module.penalty(users, items)}

    return loss


def _click_loss(
    name: str, interactions: Interactions, negatives: int, regularization: float, generator: torch.Generator
) -> loop.Loss:
    """Each click against fresh unseen items of the same user, one by one or in pairs, and the penalty."""
    check_counts(negatives=negatives)

    def loss(module: MatrixFactorization, batch: loop.Batch) -> dict[str, torch.Tensor]:
        unseen = uniform(interactions, batch[0], negatives, generator=generator)
        users = batch[0][:, None]  # (B, 1)
        items = torch.cat([batch[1][:, None], unseen], dim=1)  # (B, 1 + negatives)
        scores = module(users, items)
        if name == "bce":
            clicked = torch.zeros_like(scores)
            clicked[:, 0] = 1.0
            error = binary_cross_entropy_with_logits(scores, clicked)
        else:
            positive, negative = scores[:, :1], scores[:, 1:]
            error = losses.bpr_loss(positive.expand_as(negative), negative)
        return {name: error, "penalty": regularization * module.penalty(users, items)}

    return loss
