"""The models that every other model has to beat; taught in chapter 3."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import cg

from course_utils.data.interactions import Interactions, check_codes
from course_utils.errors import DivergedError, InputError, NotFittedError

_DAY = 86_400  # seconds


class Random:
    """Scores drawn at random, the floor of the league table.

    A score depends on the seed, the user and the item alone, not on which other users are asked for.

    Args:
        seed: a whole number; another seed gives other lists.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._shape: tuple[int, int] | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Take the number of users and items, nothing else."""
        self._shape = (interactions.n_users, interactions.n_items)
        return self

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Uniform numbers in [0, 1), shape ``(len(users), n_items)``.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self._shape is None:
            raise NotFittedError(self)
        n_users, n_items = self._shape
        rows = check_codes(users, n_users, "users").numpy().astype(np.uint64)
        # Vigna's SplitMix64 hashes one counter a cell, so that any batch of users gets the same numbers.
        x = rows[:, None] * np.uint64(n_items) + np.arange(n_items, dtype=np.uint64)
        x = _mix(x + _mix(np.array([self.seed], dtype=np.int64).astype(np.uint64)))
        uniform = (x >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return torch.from_numpy(uniform).to(torch.get_default_dtype())


class Popularity:
    """Every user gets the items with the most interactions."""

    def __init__(self) -> None:
        self._scores: torch.Tensor | None = None
        self._n_users = 0

    def fit(self, interactions: Interactions) -> Self:
        """Count the interactions of each item.

        Args:
            interactions: the training part; ratings are not looked at.
        """
        self._scores = _counts(interactions.items, interactions.n_items)
        self._n_users = interactions.n_users
        return self

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Counts, the same row for each user, shape ``(len(users), n_items)``.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self._scores is None:
            raise NotFittedError(self)
        return self._scores.repeat(len(check_codes(users, self._n_users, "users")), 1)


class RecentPopularity(Popularity):
    """Every user gets the items with the most interactions of the last days before the end of training.

    Items with equally many recent interactions are ordered by all their interactions.

    Args:
        days: length of the window, above 0. The default was chosen on MovieLens-100K with ``temporal_split``, the
            last fifth of its training part for validation: NDCG@10 .366 for 2 days, .400 for 10, .397 for 30 and
            .342 for 90.
    """

    def __init__(self, days: float = 10.0) -> None:
        super().__init__()
        if not days > 0:
            raise InputError("days", got=days, expected="a number above 0")
        self.days = days

    def fit(self, interactions: Interactions) -> Self:
        """Count each item's interactions inside the window that ends with the latest training interaction.

        Args:
            interactions: the training part, with timestamps in seconds.

        Raises:
            InputError: there are no interactions, or all of them have the same timestamp.
        """
        times = interactions.timestamps
        if len(times) == 0 or int(times.min()) == int(times.max()):
            raise InputError(
                "interactions", got="no two different timestamps", expected="timestamps in seconds"
            )
        recent = interactions.items[times > times.max() - self.days * _DAY]
        total = _counts(interactions.items, interactions.n_items).double()
        # The share of the total stays below 1, so that it decides ties and nothing else; float32 could not hold it.
        self._scores = _counts(recent, interactions.n_items) + total / (total.max() + 1)
        self._n_users = interactions.n_users
        return self


class BiasModel:
    r"""Mean plus a bias of the user plus a bias of the item: :math:`\hat r_{ui} = \mu + b_u + b_i`.

    The biases minimise :math:`\sum (r_{ui} - \mu - b_u - b_i)^2 + \lambda (\sum b_u^2 + \sum b_i^2)` exactly,
    with :math:`\mu` the mean of the training ratings (Koren, Bell and Volinsky 2009, equations 3 and 5). A user or
    an item without training ratings has bias 0: its prediction falls back to the mean of the others.

    Args:
        regularization: :math:`\lambda`, above 0: the pull of that many ratings equal to the mean, for each bias.
            The default was chosen on a random tenth of the training part of the first fold of ``k_fold(seed=0)``:
            RMSE .9396 for 1, .9389 for 3 and .9430 for 10.

    Attributes:
        mean: the training mean.
        user_bias: ``(n_users,)``, in rating units.
        item_bias: ``(n_items,)``, in rating units.
    """

    def __init__(self, regularization: float = 3.0) -> None:
        if not regularization > 0:
            raise InputError("regularization", got=regularization, expected="a number above 0")
        self.regularization = regularization
        self.mean: float | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Solve the ridge problem by conjugate gradients, which take about 20 steps on MovieLens-100K.

        Args:
            interactions: the training part, at least one interaction.

        Raises:
            InputError: there are no interactions.
            DivergedError: the steps lead nowhere, as with a regularization near 0.
        """
        if len(interactions) == 0:
            raise InputError("interactions", got="none", expected="at least one")
        self.mean = float(interactions.ratings.double().mean())
        rated = interactions.csr(binary=True)  # (n_users, n_items)
        residual = interactions.csr() - self.mean * rated
        # Normal equations: each bias weighs its ratings and the regularization, and meets the other side's biases.
        weight = np.concatenate([rated.sum(axis=1), rated.sum(axis=0)]) + self.regularization
        system = sparse.block_array([[None, rated], [rated.T, None]]) + sparse.diags_array(weight)
        target = np.concatenate([residual.sum(axis=1), residual.sum(axis=0)])
        biases, failed = cg(system.tocsr(), target, rtol=1e-10, M=sparse.diags_array(1 / weight))
        if failed or not np.isfinite(biases).all():
            raise DivergedError(
                f"the biases have not converged after {failed} steps; a larger regularization than "
                f"{self.regularization} may help"
            )
        both = torch.from_numpy(biases).to(torch.get_default_dtype())
        self.user_bias, self.item_bias = both.split([interactions.n_users, interactions.n_items])
        return self

    def predict(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Predicted ratings of pairs, ``(n,)``, not clipped.

        Args:
            users: user codes, ``(n,)``.
            items: item codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self.mean is None:
            raise NotFittedError(self)
        users = check_codes(users, len(self.user_bias), "users")
        return (
            self.mean
            + self.user_bias[users]
            + self.item_bias[check_codes(items, len(self.item_bias), "items")]
        )

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Predicted ratings of all items, ``(len(users), n_items)``: the same order of items for each user.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self.mean is None:
            raise NotFittedError(self)
        return (
            self.mean
            + self.user_bias[check_codes(users, len(self.user_bias), "users"), None]
            + self.item_bias
        )


def _counts(items: torch.Tensor, n_items: int) -> torch.Tensor:
    """Interactions of each item, ``(n_items,)``."""
    return torch.bincount(items, minlength=n_items).to(torch.get_default_dtype())


def _mix(x: np.ndarray) -> np.ndarray:
    """One step of SplitMix64 on unsigned 64-bit numbers, which wrap around on purpose."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
