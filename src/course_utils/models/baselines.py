"""The models that every other model has to beat; taught in chapter 3."""

from typing import Self

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import cg

from course_utils.data.interactions import Interactions, check_codes, check_pairs, check_sizes
from course_utils.errors import DivergedError, check_range, refuse
from course_utils.models.base import Codes, Described


class Random(Described):
    """Scores drawn at random, the floor of the league table: each hangs on the seed, the user and the item alone."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._shape: tuple[int, int] | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Take the number of users and items, nothing else."""
        check_sizes(interactions)
        self._shape = (interactions.n_users, interactions.n_items)
        return self

    def score(self, users: Codes) -> torch.Tensor:
        """Uniform numbers in [0, 1), ``(len(users), n_items)``."""
        n_users, n_items = self._fitted(self._shape)
        rows = check_codes(users, n_users, "users").numpy()[:, None].astype(np.uint64)
        # Vigna's SplitMix64 hashes one counter a cell, so that any batch of users gets the same numbers.
        x = rows * np.uint64(n_items) + np.arange(n_items, dtype=np.uint64)  # (len(users), n_items)
        x = _mix(x + _mix(np.array([self.seed], dtype=np.int64).astype(np.uint64)))
        return torch.tensor((x >> np.uint64(11)).astype(float) * 2.0**-53, dtype=torch.get_default_dtype())


class Popularity(Described):
    """Every user gets the items with the most interactions."""

    def __init__(self) -> None:
        self._scores: torch.Tensor | None = None  # (n_users, n_items), one row seen n_users times

    def fit(self, interactions: Interactions) -> Self:
        """Count the interactions of each item; ratings are not looked at."""
        check_sizes(interactions)
        counts = torch.bincount(interactions.items, minlength=interactions.n_items).to(torch.get_default_dtype())
        self._scores = counts.expand(interactions.n_users, -1)
        return self

    def score(self, users: Codes) -> torch.Tensor:
        """Counts, the same row for each user, ``(len(users), n_items)``."""
        return self._scores[self._known(users, self._scores)]


class RecentPopularity(Popularity):
    """Every user gets the items with the most interactions of the last days before the end of training.

    Items with equally many are ordered by all their interactions. Default: validation on MovieLens-100K.
    """

    def __init__(self, days: float = 10.0) -> None:
        super().__init__()
        check_range("above 0", days=days)
        self.days = days

    def fit(self, interactions: Interactions) -> Self:
        """Count inside the window that ends with the latest interaction; equal timestamps are an ``InputError``."""
        times = interactions.timestamps
        refuse(len(times.unique()) < 2, "interactions", "no two different timestamps", "timestamps in seconds")
        late = times > times.max() - self.days * 86_400  # seconds
        taken = (interactions.items[late], interactions.items)
        recent, total = (torch.bincount(items, minlength=interactions.n_items).double() for items in taken)
        # The share of the total stays below 1, so that it decides ties and nothing else; float32 could not hold it.
        self._scores = (recent + total / (total.max() + 1)).expand(interactions.n_users, -1)
        return self


class BiasModel(Described):
    r"""Mean plus a bias of the user plus a bias of the item: :math:`\hat r_{ui} = \mu + b_u + b_i`.

    The biases minimise :math:`\sum (r_{ui} - \mu - b_u - b_i)^2 + \lambda (\sum b_u^2 + \sum b_i^2)` exactly,
    with :math:`\mu` the mean of the training ratings (Koren, Bell and Volinsky 2009, equations 3 and 5). A user or
    an item without training ratings has bias 0: its prediction falls back to the mean of the others.

    The regularization :math:`\lambda` pulls each bias like that many ratings equal to the mean; default: validation on
    MovieLens-100K. After ``fit`` there are ``mean``, ``user_bias`` ``(n_users,)`` and ``item_bias`` ``(n_items,)``.
    """

    def __init__(self, regularization: float = 3.0) -> None:
        check_range("above 0", regularization=regularization)
        self.regularization = regularization
        self.mean: float | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Solve the ridge problem by conjugate gradients, which may diverge with a regularization near 0."""
        check_sizes(interactions)
        self.mean = float(interactions.ratings.double().mean())
        rated = interactions.csr(binary=True)  # (n_users, n_items)
        residual = interactions.csr() - self.mean * rated
        # Normal equations: each bias weighs its ratings and the regularization, and meets the other side's biases.
        weight = np.concatenate([rated.sum(axis=1), rated.sum(axis=0)]) + self.regularization
        system = sparse.block_array([[None, rated], [rated.T, None]]) + sparse.diags_array(weight)
        target = np.concatenate([residual.sum(axis=1), residual.sum(axis=0)])
        biases, failed = cg(system.tocsr(), target, rtol=1e-10, M=sparse.diags_array(1 / weight))
        if failed or not np.isfinite(biases).all():
            advice = f"a larger regularization than {self.regularization} may help"
            raise DivergedError(f"the biases have not converged after {failed} steps; {advice}")
        self.user_bias, self.item_bias = torch.tensor(biases, dtype=torch.get_default_dtype()).split(rated.shape)
        return self

    def predict(self, users: Codes, items: Codes) -> torch.Tensor:
        """Predicted ratings of pairs, ``(len(users),)``, not clipped."""
        self._fitted(self.mean)
        users, items = check_pairs(users, items, len(self.user_bias), len(self.item_bias))
        return self.mean + self.user_bias[users] + self.item_bias[items]

    def score(self, users: Codes) -> torch.Tensor:
        """Predicted ratings of all items, ``(len(users), n_items)``; their order is the same for each user."""
        return self._fitted(self.mean) + self.user_bias[self._known(users, self.user_bias), None] + self.item_bias


def _mix(x: np.ndarray) -> np.ndarray:
    """One step of SplitMix64 on unsigned 64-bit numbers, which wrap around on purpose."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
