"""Content-based filtering, a hybrid weighted by evidence, and how to test both on new items."""

from typing import Self

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.preprocessing import normalize

from course_utils.data.features import Features
from course_utils.data.interactions import Interactions, check_sizes
from course_utils.errors import check_counts, check_range, check_shape, refuse
from course_utils.models.base import Codes, Described, Recommender


class ContentBased(Described):
    r"""Items whose description is like the user's profile; taught in chapter 2.

    The profile is :math:`p_u = \sum_{i \in I_u} [(r_{ui} - \bar r_u)\, x_i + s\,(x_i - \bar x)]`, where :math:`x_i` is
    the description, :math:`\bar r_u` the mean of the user's ratings and :math:`\bar x` the mean description of the
    catalogue: what the user likes, and what the user picks more often than chance would. The score is its cosine with
    each item. Features are ``(n_items, n_features)``. ``seen_weight`` is s ≥ 0 in rating units; without ``background``,
    :math:`\bar x` is left out. After ``fit``, ``profiles`` ``(n_users, n_features)`` have rows of length 1, or 0.
    """

    def __init__(
        self, features: Features | sparse.sparray | np.ndarray, seen_weight: float = 3.0, *, background: bool = True
    ) -> None:
        check_range("0 or more", seen_weight=seen_weight)
        x = features.matrix if isinstance(features, Features) else features
        check_shape("n_items", "n_features", features=x)
        self._x = sparse.csr_array(x, dtype=float)  # (n_items, n_features)
        refuse(not np.isfinite(self._x.data).all(), "features", "a missing or infinite value", "finite numbers")
        self.seen_weight, self.background = seen_weight, background
        self.profiles: torch.Tensor | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Build one profile a user; none depends on any other user. The features' rows are the item codes."""
        check_sizes(interactions, n_items=self._x.shape[0])
        n_users, users = interactions.n_users, interactions.users.numpy()
        ratings = interactions.ratings.double().numpy()
        count = np.bincount(users, minlength=n_users)
        mean = np.bincount(users, ratings, n_users) / np.maximum(count, 1)
        weight = self.seen_weight + ratings - mean[users]
        profiles = sparse.csr_array((weight, (users, interactions.items.numpy())), (n_users, self._x.shape[0]))
        profiles = (profiles @ self._x).toarray()  # (n_users, n_features)
        if self.background:
            profiles -= self.seen_weight * np.outer(count, self._x.mean(axis=0))
        # What should have cancelled to 0 is rounding, not a taste.
        size = np.bincount(users, self.seen_weight + np.abs(ratings), n_users) * np.abs(self._x.data).max(initial=0)
        profiles[np.abs(profiles).max(axis=1, initial=0) <= 1e-12 * size] = 0
        self.profiles = torch.tensor(normalize(profiles), dtype=torch.get_default_dtype())
        return self

    def score(self, users: Codes) -> torch.Tensor:
        """Cosines, ``(len(users), n_items)``, in [-1, 1]; 0 for an empty profile or an item without description."""
        profiles = self.profiles[self._known(users, self.profiles)]
        return torch.from_numpy(profiles.double().numpy() @ normalize(self._x).T).to(profiles.dtype)


class Hybrid(Described):
    r"""Content for items that few have rated, collaboration for the others (Burke 2002); taught in chapter 2.

    :math:`s_{ui} = w_i\, z^{\text{collaborative}}_{ui} + (1 - w_i)\, z^{\text{content}}_{ui}` with the ``weights``
    :math:`w_i = n_i / (n_i + \kappa)`, ``(n_items,)`` after ``fit``, where :math:`n_i` counts training interactions and
    κ > 0 is the ``evidence``. z is a model's score less the user's mean over all items, over its standard deviation.
    """

    def __init__(self, content: Recommender, collaborative: Recommender, evidence: float = 5.0) -> None:
        check_range("above 0", evidence=evidence)
        self.content, self.collaborative, self.evidence = content, collaborative, evidence
        self.weights: torch.Tensor | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Fit both models and count the evidence."""
        self.content.fit(interactions)
        self.collaborative.fit(interactions)
        n = torch.bincount(interactions.items, minlength=interactions.n_items).to(torch.get_default_dtype())
        self.weights = n / (n + self.evidence)
        return self

    def score(self, users: Codes) -> torch.Tensor:
        """Weighted standardised scores, ``(len(users), n_items)``."""
        self._fitted(self.weights)
        collaborative, content = (standardize(m.score(users)) for m in (self.collaborative, self.content))
        return self.weights * collaborative + (1 - self.weights) * content


def standardize(scores: torch.Tensor) -> torch.Tensor:
    """Each row of ``(n_users, n_items)`` less its mean, over its standard deviation; a constant row becomes zeros."""
    centred = scores - scores.mean(dim=1, keepdim=True)
    spread = centred.square().mean(dim=1, keepdim=True).sqrt()
    noise = max(1e-12, 8 * torch.finfo(scores.dtype).eps)
    constant = spread <= noise * scores.abs().amax(dim=1, keepdim=True)
    return centred / spread.masked_fill(constant, torch.inf)


def auc_per_user(scores: torch.Tensor, relevant: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """How often a relevant item scores above another one of the same user, half for a tie; taught in chapter 2.

    All three are ``(n_users, n)``, the last two bool; memory grows with ``n_users`` times n². The result is
    ``(n_users,)``, 0 to 1, 0.5 for guessing; nan where a user has no relevant or no other item.
    """
    one, other = scores[:, :, None], scores[:, None, :]
    wins = torch.where(one == other, 0.5, (one > other).to(scores.dtype))  # (n_users, n, n)
    relevant, others = relevant.to(wins.dtype), others.to(wins.dtype)
    return torch.einsum("uij,ui,uj->u", wins, relevant, others) / (relevant.sum(1) * others.sum(1))


def hold_out_items(
    ratings: pd.DataFrame, n_items: int = 100, *, at_least: int = 100, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put all ratings of some items aside, as if those were new; taught in chapter 2.

    Of items with ``at_least`` so many ratings. The result is the ratings of all others, and the held ones in random
    order with a column ``turn``, 0 for an item's first rating, 1 for the second: ``held[held.turn < n]`` feeds n back.
    """
    counts = ratings.item_id.value_counts().sort_index()
    known = counts.index[counts >= at_least].to_numpy()
    check_counts(most=len(known), n_items=n_items)
    rng = np.random.default_rng(seed)
    is_held = ratings.item_id.isin(rng.choice(known, n_items, replace=False))
    held = ratings[is_held].iloc[rng.permutation(int(is_held.sum()))]
    return ratings[~is_held], held.assign(turn=held.groupby("item_id").cumcount())
