"""The one contract that every recommender of the book keeps, said here once; taught in chapter 0.

``fit(interactions, …)`` learns from :class:`course_utils.data.interactions.Interactions`, starts anew each time,
and returns the model; the same ``seed`` gives the same numbers. ``score(users)`` takes codes as a list, an array or a
tensor. A rating model has ``predict(users, items)`` too. What is wrong raises one of :mod:`course_utils.errors`:

- ``InputError``: an argument is out of range, a code is unknown, the interactions are empty, or a model that has
  tables before it sees data meets other numbers of users or items.
- ``NotFittedError``: ``score`` or ``predict`` came before ``fit``. MatrixFactorization and TwoTower answer by their
  start instead, as modules do.
- ``DivergedError``: a loss became nan or infinite.

Scores of a user do not depend on who else is asked for, but for rounding. They come in torch's default dtype; those
of RecentPopularity and RuleRecommender in float64 always, as float32 could not hold what decides their ties.
"""

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
import torch

from course_utils.data.interactions import Interactions

Codes = torch.Tensor | np.ndarray | Sequence[int]


class Recommender(Protocol):
    """What every recommender can do."""

    def fit(self, interactions: Interactions) -> Self:
        """Learn from the training part, anew; the model itself."""

    def score(self, users: Codes) -> torch.Tensor:
        """Scores of all items, ``(len(users), n_items)``, higher is better."""


class RatingModel(Recommender, Protocol):
    """What a rating model can do as well."""

    def predict(self, users: Codes, items: Codes) -> torch.Tensor:
        """Predicted ratings of pairs in rating units, ``(len(users),)``."""
