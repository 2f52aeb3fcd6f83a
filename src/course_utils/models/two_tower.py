"""Two-tower retrieval: one network for users, one for items, a dot product between them; chapter 15."""

import math
from typing import Self

import numpy as np
import torch
from torch import nn
from torch.nn.functional import embedding, normalize

from course_utils.data.interactions import Interactions, check_codes, check_sizes
from course_utils.errors import check_counts, check_range, check_shape
from course_utils.learning import loop, losses, negatives
from course_utils.models.base import Codes, Described


class Tower(nn.Module):
    """From one of n codes to a vector: its own embedding, plus a weighted sum of its features ``(n, d)``, if any."""

    def __init__(self, n: int, features: np.ndarray | None, factors: int) -> None:
        super().__init__()
        features = np.empty((n, 0)) if features is None else np.asarray(features)
        check_shape(n, "d", features=features)
        self.n = n
        self.register_buffer("features", torch.tensor(features, dtype=torch.get_default_dtype()))
        self.ids = nn.Parameter(torch.empty(n, factors))
        self.weights = nn.Parameter(torch.empty(features.shape[1], factors))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Vectors of length 1, ``(B, factors)``, for codes ``(B,)``."""
        return normalize(embedding(codes, self.ids) + self.features[codes] @ self.weights, dim=1)


class TwoTower(Described, nn.Module):
    r"""Retrieval by :math:`s_{ui} = p_u^\top q_i / T`, each side computed from its own features; taught in chapter 15.

    Yi et al. (2019): the other items of a batch are the negatives, and :math:`\ln q_i` is taken from their scores
    (the logQ correction of chapter 11), q being an item's share of the interactions. Items that the user has met are
    no negatives. Both vectors have length 1, and the temperature T sets how sharp the softmax is. Adam's step size
    falls to 0. Features are ``(n_users, d)`` and ``(n_items, d)``. Defaults: validation on MovieLens-100K.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        user_features: np.ndarray | None = None,
        item_features: np.ndarray | None = None,
        *,
        factors: int = 32,
        epochs: int = 8,
        lr: float = 0.01,
        batch_size: int = 256,
        temperature: float = 0.25,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_counts(n_users=n_users, n_items=n_items, factors=factors, epochs=epochs)
        check_range("above 0", temperature=temperature)
        self.epochs, self.lr, self.batch_size, self.temperature, self.seed = epochs, lr, batch_size, temperature, seed
        self.factors = factors
        self.users = Tower(n_users, user_features, factors)
        self.items = Tower(n_items, item_features, factors)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Go back to the start: normal numbers of standard deviation 0.1, the same for the same seed."""
        generator = torch.Generator().manual_seed(self.seed)
        for table in self.parameters():
            table.copy_(0.1 * torch.randn(table.shape, generator=generator, dtype=table.dtype))

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Cosines over T of all pairs of users ``(B,)`` and items ``(C,)``: ``(B, C)``."""
        return self.users(users) @ self.items(items).T / self.temperature

    def loss(self, interactions: Interactions) -> loop.Loss:
        """The loss of a batch of users and their items, for ``loop.fit``."""
        log_share = negatives.log_popularity(interactions, 1)

        def of_batch(module: TwoTower, batch: loop.Batch) -> torch.Tensor:
            users, items = batch
            scores = module(users, items)  # (B, B), the diagonal holds the positives
            free = negatives.in_batch(interactions, users, items)
            log_q = (log_share[items] + math.log(max(len(users) - 1, 1))).expand_as(scores)
            others = scores.masked_fill(~free, -torch.inf)
            return losses.sampled_softmax_loss(scores.diagonal(), others, negative_log_q=log_q)

        return of_batch

    def fit(self, interactions: Interactions) -> Self:
        """Start anew and train on clicks: every interaction is a positive, whatever its rating."""
        check_sizes(interactions, self.users.n, self.items.n)
        self.reset_parameters()
        pairs, generator = (interactions.users, interactions.items), torch.Generator().manual_seed(self.seed)
        batches = loop.batches(*pairs, batch_size=self.batch_size, generator=generator)
        loop.fit(self, batches, self.loss(interactions), epochs=self.epochs, lr=self.lr, decay=True)
        return self

    @torch.no_grad()
    def score(self, users: Codes) -> torch.Tensor:
        """Scores of all items, ``(len(users), n_items)``; of random vectors before :meth:`fit`."""
        return self(check_codes(users, self.users.n, "users"), torch.arange(self.items.n))

    @torch.no_grad()
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """All user vectors ``(n_users, factors)`` and item vectors ``(n_items, factors)``, for an index."""
        return tuple(tower(torch.arange(tower.n)).double().numpy() for tower in (self.users, self.items))
