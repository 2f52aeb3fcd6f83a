"""Two-tower retrieval: one network for users, one for items, a dot product between them; chapter 15."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize

from course_utils.data.interactions import Interactions, check_codes, check_sizes
from course_utils.errors import InputError, check_counts
from course_utils.learning import loop, losses, negatives


class Tower(nn.Module):
    """From a code to a vector: its own embedding, plus a weighted sum of its features; taught in chapter 15.

    Args:
        n: number of codes.
        features: ``(n, d)``, or None for the embedding alone.
        factors: length of the vector.
        ids: False leaves the embedding out, so that a code without history still has a learned vector.
        generator: source of the start.

    Attributes:
        ids: embedding, ``(n, factors)``, or None.
        weights: of the features, ``(d, factors)``, or None.
    """

    def __init__(
        self, n: int, features: np.ndarray | None, factors: int, *, ids: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        if features is not None and (np.ndim(features) != 2 or len(features) != n):
            raise InputError("features", got=f"shape {np.shape(features)}", expected=f"({n}, d)")
        if features is None and not ids:
            raise InputError("features", got="None", expected="a table, for a tower without ids")
        self.n = n
        self.ids = self.weights = None
        if ids:
            self.ids = nn.Embedding(n, factors, _weight=0.1 * torch.randn(n, factors, generator=generator))
        if features is not None:
            self.register_buffer("features", torch.as_tensor(features, dtype=torch.get_default_dtype()))
            size = self.features.shape[1]
            self.weights = nn.Parameter(0.1 * torch.randn(size, factors, generator=generator))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Vectors of length 1, ``(B, factors)``.

        Args:
            codes: ``(B,)``.
        """
        parts = [] if self.ids is None else [self.ids(codes)]
        if self.weights is not None:
            parts.append(self.features[codes] @ self.weights)
        return normalize(sum(parts), dim=1)


class TwoTower(nn.Module):
    r"""Retrieval by :math:`s_{ui} = p_u^\top q_i / T`, each side computed from its own features; taught in chapter 15.

    Yi et al. (2019): the other items of a batch are the negatives, and :math:`\ln q_i` is taken from their scores
    (the logQ correction of chapter 11), q being an item's share of the interactions. Items that the user has met are
    no negatives. Both vectors have length 1, and the temperature T sets how sharp the softmax is. The loss is minimised
    by Adam with a step size that falls to 0. Since the two sides meet in a product only, the vectors of all items can
    be kept in an index.

    The defaults were chosen on a tenth of the training part of ``random_split(seed=0)`` of MovieLens-100K.

    Args:
        n_users: number of user codes.
        n_items: number of item codes.
        user_features: ``(n_users, d)``; None: ids alone.
        item_features: ``(n_items, d)``; None: ids alone.
        item_ids: False makes items of features alone.
        factors: length of the vectors.
        epochs, lr, batch_size: of the training.
        temperature: T, above 0.
        log_q: False leaves the correction out.
        seed: seed of the start and of the batches.

    Raises:
        InputError: a size or a table does not fit.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        user_features: np.ndarray | None = None,
        item_features: np.ndarray | None = None,
        *,
        item_ids: bool = True,
        factors: int = 32,
        epochs: int = 8,
        lr: float = 0.01,
        batch_size: int = 256,
        temperature: float = 0.25,
        log_q: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_counts(n_users=n_users, n_items=n_items, factors=factors, epochs=epochs)
        if not temperature > 0:
            raise InputError("temperature", got=temperature, expected="a number above 0")
        self.epochs, self.lr, self.batch_size = epochs, lr, batch_size
        self.temperature, self.log_q, self.seed = temperature, log_q, seed
        generator = torch.Generator().manual_seed(seed)
        self.users = Tower(n_users, user_features, factors, ids=True, generator=generator)
        self.items = Tower(n_items, item_features, factors, ids=item_ids, generator=generator)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Cosines of all pairs of a batch over T, ``(B, C)``.

        Args:
            users: user codes, ``(B,)``.
            items: item codes, ``(C,)``.
        """
        return self.users(users) @ self.items(items).T / self.temperature

    def loss(self, interactions: Interactions) -> loop.Loss:
        """The loss of a batch of users and their items, for ``loop.fit``."""
        log_share = negatives.log_popularity(interactions, 1)

        def of_batch(module: TwoTower, batch: loop.Batch) -> torch.Tensor:
            users, items = batch
            scores = module(users, items)  # (B, B), the diagonal holds the positives
            free = negatives.in_batch(interactions, users, items)
            log_q = None
            if module.log_q:
                log_q = (log_share[items] + math.log(max(len(users) - 1, 1))).expand_as(scores)
            others = scores.masked_fill(~free, -torch.inf)
            return losses.sampled_softmax_loss(scores.diagonal(), others, negative_log_q=log_q)

        return of_batch

    def fit(self, interactions: Interactions) -> Self:
        """Train on clicks: every interaction is a positive, whatever its rating.

        Args:
            interactions: the training part.

        Raises:
            InputError: the interactions have other sizes than the towers.
        """
        check_sizes(interactions, self.users.n, self.items.n)
        generator = torch.Generator().manual_seed(self.seed)
        pairs = (interactions.users, interactions.items)
        batches = loop.batches(*pairs, batch_size=self.batch_size, generator=generator)
        loop.fit(self, batches, self.loss(interactions), epochs=self.epochs, lr=self.lr, decay=True)
        return self

    @torch.no_grad()
    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Scores of all items, ``(len(users), n_items)``.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            InputError: a code is unknown.
        """
        return self(check_codes(users, self.users.n, "users"), torch.arange(self.items.n))

    @torch.no_grad()
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """All user vectors ``(n_users, factors)`` and item vectors ``(n_items, factors)``, for an index."""
        return tuple(t(torch.arange(t.n)).double().numpy() for t in (self.users, self.items))
