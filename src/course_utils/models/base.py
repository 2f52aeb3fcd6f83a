"""The one contract that every recommender of the book keeps, said here once; taught in chapter 0.

``tests/models/test_contract.py`` finds each class with both methods and tries it.

``fit(interactions, …)`` learns from :class:`course_utils.data.interactions.Interactions`, starts anew each time,
and returns the model; the same ``seed`` gives the same numbers. ``score(users)`` takes codes as a list, an array or a
tensor. A rating model has ``predict(users, items)`` too. What is wrong raises one of :mod:`course_utils.errors`:

- ``InputError``: an argument is out of range, a code is unknown, the interactions are empty, or a model that has
  tables before it sees data meets other numbers of users or items.
- ``NotFittedError``: ``score`` or ``predict`` came before ``fit``. MatrixFactorization, TwoTower, GMF, MLP and
  NeuMF answer by their start instead, as modules do.
- ``DivergedError``: a loss became nan or infinite.

Scores of a user do not depend on who else is asked for, but for rounding. They come in torch's default dtype; those
of RecentPopularity and RuleRecommender in float64 always, as float32 could not hold what decides their ties.
"""

import inspect
from collections.abc import Sequence, Sized
from typing import Any, Protocol, Self

import numpy as np
import torch

from course_utils.data.interactions import Interactions, check_codes
from course_utils.errors import NotFittedError, refuse

Codes = torch.Tensor | np.ndarray | Sequence[int]


class Described:
    """A model that prints its settings in one line, defaults too: ``EASE(regularization=400.0)``."""

    def __repr__(self) -> str:
        """The class with those of its settings that are plain values or models; tables are left out."""
        values = {name: getattr(self, name, None) for name in inspect.signature(type(self)).parameters}
        shown = [f"{k}={v!r}" for k, v in values.items() if isinstance(v, bool | int | float | str | Described)]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _fitted(self, part: Any) -> Any:
        """A part that ``fit`` makes, None before."""
        if part is None:
            raise NotFittedError(self)
        return part

    def _known(self, users: Codes, table: Sized | None) -> torch.Tensor:
        """Codes of users as ``torch.long``, each a row of a table that ``fit`` makes."""
        return check_codes(users, len(self._fitted(table)), "users")


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


def fold_in(model: Recommender, history: Interactions) -> torch.Tensor:
    """Scores for people whom a fitted model has not seen, by their items, ``(history.n_users, n_items)``; chapter 5.

    Only a model that computes a user from her items can do it: ImplicitALS (one ridge solve), EASE and ItemKNN (a
    product), MultDAE, MultVAE, those of chapters 18 and 19. Of known users it says what ``score`` does, ALS almost.
    """
    expected = "ImplicitALS, EASE, ItemKNN, MultDAE, MultVAE or one of chapter 18: others have a table of users"
    refuse(getattr(model, "fold_in", None) is None, "model", type(model).__name__, expected)
    return model.fold_in(history)
