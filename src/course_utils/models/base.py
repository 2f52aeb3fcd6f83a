"""What every recommender of the book can do once ``fit(interactions)`` returned it."""

from __future__ import annotations

from typing import Protocol

import torch


class Recommender(Protocol):
    """What every recommender of the book can do once it is fitted."""

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Scores of all items, ``(len(users), n_items)``, higher is better."""


class RatingModel(Protocol):
    """What a rating model can do as well."""

    def predict(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Predicted ratings of pairs, ``(len(users),)``."""
