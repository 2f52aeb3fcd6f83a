"""Content-based filtering, a hybrid weighted by evidence, and how to test both on new items."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.preprocessing import normalize

from course_utils.data.features import Features
from course_utils.data.interactions import Interactions, check_codes
from course_utils.errors import InputError, NotFittedError


class _Model(Protocol):
    def fit(self, interactions: Interactions) -> Self: ...

    def score(self, users: torch.Tensor) -> torch.Tensor: ...


class ContentBased:
    r"""Items whose description is like the user's profile; taught in chapter 2.

    The profile is :math:`p_u = \sum_{i \in I_u} [(r_{ui} - \bar r_u)\, x_i + s\,(x_i - \bar x)]`, where :math:`x_i` is
    the description, :math:`\bar r_u` the mean of the user's ratings and :math:`\bar x` the mean description of the
    catalogue. The first term says what the user likes: a rating below the mean pushes away. The second says what the
    user picks more often than chance would. The score is the cosine of the profile with each item.

    Args:
        features: ``(n_items, n_features)``, or the :class:`Features` of :func:`item_features`.
        seen_weight: s ≥ 0 in rating units, what having rated an item counts beside the rating itself.
        background: False leaves :math:`\bar x` out.

    Attributes:
        profiles: ``(n_users, n_features)``, of length 1, or 0 where nothing is known.

    Raises:
        InputError: ``features`` is no table of finite numbers, or ``seen_weight`` is negative.
    """

    def __init__(
        self,
        features: Features | sparse.sparray | np.ndarray,
        seen_weight: float = 3.0,
        *,
        background: bool = True,
    ) -> None:
        if not 0 <= seen_weight < np.inf:
            raise InputError("seen_weight", got=seen_weight, expected="0 or a number above")
        x = features.matrix if isinstance(features, Features) else features
        if len(getattr(x, "shape", ())) != 2:
            raise InputError("features", got=type(x).__name__, expected="a table (n_items, n_features)")
        self._x = sparse.csr_array(x, dtype=float)
        if not np.isfinite(self._x.data).all():
            raise InputError("features", got="a missing or infinite value", expected="finite numbers")
        self.seen_weight, self.background = seen_weight, background
        self.profiles: torch.Tensor | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Build one profile a user. No profile depends on any other user.

        Args:
            interactions: the training part; its item codes are the rows of the features.

        Raises:
            InputError: the features describe another number of items.
        """
        n_users, n_items = interactions.n_users, interactions.n_items
        if self._x.shape[0] != n_items:
            raise InputError(
                "interactions", got=f"{n_items} items", expected=f"{self._x.shape[0]}, as the features have"
            )
        users, ratings = interactions.users.numpy(), interactions.ratings.double().numpy()
        count = np.bincount(users, minlength=n_users)
        mean = np.bincount(users, ratings, n_users) / np.maximum(count, 1)
        weight = self.seen_weight + ratings - mean[users]
        items = interactions.items.numpy()
        profiles = (sparse.csr_array((weight, (users, items)), (n_users, n_items)) @ self._x).toarray()
        if self.background:
            profiles -= self.seen_weight * np.outer(count, self._x.mean(axis=0))
        # What should have cancelled to 0 is rounding, not a taste.
        size = np.abs(self._x.data).max(initial=0) * np.bincount(
            users, self.seen_weight + np.abs(ratings), n_users
        )
        profiles[np.abs(profiles).max(axis=1, initial=0) <= 1e-12 * size] = 0
        self.profiles = torch.from_numpy(normalize(profiles)).to(torch.get_default_dtype())
        return self

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Cosines, ``(len(users), n_items)``, in [-1, 1]; 0 for an empty profile or an item without description.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self.profiles is None:
            raise NotFittedError(self)
        profiles = self.profiles[check_codes(users, len(self.profiles), "users")]
        return torch.from_numpy(profiles.double().numpy() @ normalize(self._x).T).to(profiles.dtype)


class Hybrid:
    r"""Content for items that few have rated, collaboration for the others (Burke 2002); taught in chapter 2.

    :math:`s_{ui} = w_i\, z^{\text{collaborative}}_{ui} + (1 - w_i)\, z^{\text{content}}_{ui}` with
    :math:`w_i = n_i / (n_i + \kappa)`, where :math:`n_i` counts the item's training interactions. z is a model's score
    less the user's mean over all items, over its standard deviation: two models need not share a scale.

    Args:
        content: a recommender that can score items without history.
        collaborative: a recommender that learns from interactions.
        evidence: κ > 0, the number of interactions at which both count the same.

    Attributes:
        weights: ``(n_items,)``, in [0, 1), the share of the collaborative model.

    Raises:
        InputError: ``evidence`` is not above 0.
    """

    def __init__(self, content: _Model, collaborative: _Model, evidence: float = 5.0) -> None:
        if not 0 < evidence < np.inf:
            raise InputError("evidence", got=evidence, expected="a number above 0")
        self.content, self.collaborative, self.evidence = content, collaborative, evidence
        self.weights: torch.Tensor | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Fit both models and count the evidence.

        Args:
            interactions: the training part.
        """
        self.content.fit(interactions)
        self.collaborative.fit(interactions)
        n = torch.bincount(interactions.items, minlength=interactions.n_items).to(torch.get_default_dtype())
        self.weights = n / (n + self.evidence)
        return self

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Weighted standardised scores, ``(len(users), n_items)``.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self.weights is None:
            raise NotFittedError(self)
        collaborative, content = (standardize(m.score(users)) for m in (self.collaborative, self.content))
        return self.weights * collaborative + (1 - self.weights) * content


def standardize(scores: torch.Tensor) -> torch.Tensor:
    """Each row less its mean, over its standard deviation; a constant row becomes zeros.

    Args:
        scores: ``(n_users, n_items)``.

    Returns:
        Same shape, each row with mean 0 and standard deviation 1.
    """
    centred = scores - scores.mean(dim=1, keepdim=True)
    spread = centred.square().mean(dim=1, keepdim=True).sqrt()
    noise = max(1e-12, 8 * torch.finfo(scores.dtype).eps)
    constant = spread <= noise * scores.abs().amax(dim=1, keepdim=True)
    return centred / spread.masked_fill(constant, torch.inf)


def auc_per_user(scores: torch.Tensor, relevant: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """How often a relevant item scores above another one of the same user, half for a tie; taught in chapter 2.

    Args:
        scores: ``(n_users, n)``; memory grows with ``n_users`` times n².
        relevant: bool ``(n_users, n)``.
        others: bool ``(n_users, n)``, what the relevant items are compared with.

    Returns:
        ``(n_users,)``, in [0, 1], 0.5 for guessing; nan where a user lacks one of the two.
    """
    one, other = scores[:, :, None], scores[:, None, :]
    wins = torch.where(one == other, 0.5, (one > other).to(scores.dtype))  # (n_users, n, n)
    relevant, others = relevant.to(wins.dtype), others.to(wins.dtype)
    return torch.einsum("uij,ui,uj->u", wins, relevant, others) / (relevant.sum(1) * others.sum(1))


def hold_out_items(
    ratings: pd.DataFrame, n_items: int = 100, *, at_least: int = 100, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Items whose ratings are all put aside, as if they were new; taught in chapter 2.

    Args:
        ratings: columns ``user_id item_id rating``, one row a pair.
        n_items: how many items.
        at_least: only items with so many ratings are drawn.
        seed: another seed draws other items, and another order of their ratings.

    Returns:
        The ratings of all other items, and those of the held-out items in random order with one more column,
        ``turn``: 0 for the first rating of an item, 1 for the second. Feed n back with ``held[held.turn < n]``.

    Raises:
        InputError: fewer than ``n_items`` items have so many ratings.
    """
    counts = ratings.item_id.value_counts().sort_index()
    known = counts.index[counts >= at_least].to_numpy()
    if not 0 < n_items <= len(known):
        raise InputError("n_items", got=n_items, expected=f"1 to {len(known)} items with {at_least} ratings")
    rng = np.random.default_rng(seed)
    is_held = ratings.item_id.isin(rng.choice(known, n_items, replace=False))
    held = ratings[is_held].iloc[rng.permutation(int(is_held.sum()))]
    return ratings[~is_held], held.assign(turn=held.groupby("item_id").cumcount())
