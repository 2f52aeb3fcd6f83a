"""Bayesian matrix factorisation: draw the vectors where ALS solves for them; taught in chapter 5.

Sizes: ``R`` rows, ``C`` columns, ``N`` stored entries, ``F``
coordinates of a vector, the bias among them; a batch has ``B`` rows of ``L`` places.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch.nn.functional import embedding

from course_utils.data.interactions import Interactions, check_codes
from course_utils.errors import InputError, NotFittedError, check_counts
from course_utils.models.least_squares import Rows, pad


class BayesianMF:
    r"""Rating prediction by averaging over many matrix factorisations, each drawn from the posterior.

    The model is :math:`r_{ui} \sim N(\mu + b_u + b_i + p_u \cdot q_i,\; 1/\tau)`. User vectors :math:`(p_u, b_u)` come
    from one normal distribution, item vectors :math:`(q_i, b_i)` from another. The means and precisions of these two
    and the noise precision :math:`\tau` are unknown too, so nothing is left to tune (Salakhutdinov and Mnih 2008,
    section 3; they fix :math:`\tau = 2` and have no biases). A Gibbs sampler draws each in turn, given the rest.

    The defaults were chosen on random tenths of the training parts of ``k_fold(seed=0)`` of MovieLens-100K.

    Args:
        factors: length of a vector without its bias, at least 1.
        samples: draws to keep, at least 2.
        burn_in: draws to throw away first, 0 or more.
        seed: seed of the start and of all draws.

    Attributes:
        user_factors: one array a draw, ``(samples, n_users, factors)``.
        item_factors: ``(samples, n_items, factors)``.
        user_biases: ``(samples, n_users)``, in rating units.
        item_biases: ``(samples, n_items)``.
        noise: standard deviation of the noise in each draw, ``(samples,)``, in rating units.
        mean: mean of the training ratings.
    """

    def __init__(self, factors: int = 10, samples: int = 100, burn_in: int = 20, seed: int = 0) -> None:
        check_counts(factors=factors)
        check_counts(2, samples=samples)
        check_counts(0, burn_in=burn_in)
        self.factors, self.samples, self.burn_in, self.seed = factors, samples, burn_in, seed
        self.user_factors: torch.Tensor | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Run the Gibbs sampler: noise, user prior, users, item prior, items, and again.

        Args:
            interactions: the training part, with ratings.

        Raises:
            InputError: there are no interactions.
        """
        if len(interactions) == 0:
            raise InputError("interactions", got="none", expected="at least one")
        self.mean = float(interactions.ratings.mean())
        by_user, by_item = Rows.both_sides(interactions, interactions.ratings - self.mean)
        rng = np.random.default_rng(self.seed)
        user, item = (
            0.1 * normal(rng, (len(x), self.factors + 1), by_user.values) for x in (by_user, by_item)
        )
        user[:, -1], item[:, -1] = 0, 0
        kept = []
        for sweep in range(self.burn_in + self.samples):
            precision = draw_noise_precision(_errors(by_user, user, item), rng)
            user = _draw_side(by_user, user, item, precision, rng)
            item = _draw_side(by_item, item, user, precision, rng)
            if sweep >= self.burn_in:
                kept.append((user, item, precision))
        users, items = (torch.stack([draw[side] for draw in kept]) for side in (0, 1))
        self.user_factors, self.user_biases = users[..., :-1], users[..., -1]
        self.item_factors, self.item_biases = items[..., :-1], items[..., -1]
        self.noise = torch.tensor([draw[2] for draw in kept], dtype=users.dtype).rsqrt()
        return self

    def predict(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Predicted ratings of pairs, the mean over the draws, ``(n,)``, not clipped.

        Args:
            users: user codes, ``(n,)``.
            items: item codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown, or the two differ in length.
        """
        return self._moments(users, items)[0]

    def predict_interval(
        self, users: torch.Tensor, items: torch.Tensor, level: float = 0.9
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Intervals that should hold the given share of ratings: lower and upper ends, each ``(n,)``, not clipped.

        The width has two parts: how far the draws disagree about the pair, and the noise of a single rating. The
        sum is taken for normal.

        Args:
            users: user codes, ``(n,)``.
            items: item codes, ``(n,)``.
            level: share of ratings to hold, above 0 and below 1.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown, the two differ in length, or the level is out of range.
        """
        if not 0 < level < 1:
            raise InputError("level", got=level, expected="a number above 0 and below 1")
        mean, variance = self._moments(users, items)
        width = torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=mean.dtype))
        half = width * (variance + self.noise.square().mean()).sqrt()
        return mean - half, mean + half

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Predicted ratings of all items, ``(len(users), n_items)``.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown.
        """
        if self.user_factors is None:
            raise NotFittedError(self)
        users = check_codes(users, self.user_factors.shape[1], "users")
        # The mean over draws of products is one product of the draws laid side by side.
        P = self.user_factors[:, users].permute(1, 0, 2).flatten(1)  # (n, samples * factors)
        Q = self.item_factors.permute(1, 0, 2).flatten(1)  # (n_items, samples * factors)
        biases = self.user_biases[:, users].mean(0)[:, None] + self.item_biases.mean(0)
        return self.mean + biases + P @ Q.mT / self.samples

    def _moments(self, users: torch.Tensor, items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of the predictions over the draws, each ``(n,)``."""
        if self.user_factors is None:
            raise NotFittedError(self)
        users = check_codes(users, self.user_factors.shape[1], "users")
        items = check_codes(items, self.item_factors.shape[1], "items")
        if len(users) != len(items):
            raise InputError("items", got=f"{len(items)} codes", expected=f"{len(users)}, one a user")
        predictions = self.user_biases[:, users] + self.item_biases[:, items]  # (samples, n)
        for draw, (P, Q) in enumerate(zip(self.user_factors, self.item_factors, strict=True)):
            predictions[draw] += (P[users] * Q[items]).sum(dim=1)
        return self.mean + predictions.mean(0), predictions.var(0)


def draw_rows(
    rows: Rows,
    design: torch.Tensor,
    target: torch.Tensor,
    noise_precision: float,
    prior: tuple[torch.Tensor, torch.Tensor],
    rng: np.random.Generator,
) -> torch.Tensor:
    r"""Draw each row's vector from its posterior: :math:`x_u \sim N(A_u^{-1} h_u, A_u^{-1})`.

    The normal equations of ridge regression, with :math:`A_u = \tau Y_u^\top Y_u + \Lambda` and :math:`h_u = \tau
    Y_u^\top t_u + \Lambda m` (Salakhutdinov and Mnih 2008, equations 11 to 13). Solving gives the mean. With
    :math:`A = L L^\top` and standard normal :math:`z`, :math:`L^{-\top} z` has the covariance :math:`A^{-1}`.

    Args:
        rows: the entries.
        design: a vector for each column, ``(C, F)``.
        target: a target for each entry, ``(N,)``.
        noise_precision: :math:`\tau`, above 0.
        prior: mean :math:`m`, ``(F,)``, and precision :math:`\Lambda`, ``(F, F)``, of the vectors.
        rng: source of the random numbers.

    Returns:
        One draw a row, ``(R, F)``.
    """
    mean, precision = prior
    noise = normal(rng, (len(rows), design.shape[1]), design)
    drawn = torch.empty_like(noise)
    right = noise_precision * (rows.matrix(target) @ design) + precision @ mean  # h of every row, (R, F)
    design = pad(design)
    for ids, columns, _ in rows.batches(design.shape[1]):
        Y = embedding(columns, design)  # (B, L, F)
        L = torch.linalg.cholesky(noise_precision * (Y.mT @ Y) + precision)
        half = torch.linalg.solve_triangular(L, right[ids, :, None], upper=False)  # then L^-T (L^-1 h + z)
        drawn[ids] = torch.linalg.solve_triangular(L.mT, half + noise[ids, :, None], upper=True)[..., 0]
    return drawn


def draw_prior(vectors: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Draw the mean and the precision of the normal distribution that the vectors came from.

    Normal-Wishart posterior with :math:`\mu_0 = 0`, :math:`\beta_0 = 2`, :math:`W_0 = I` and :math:`\nu_0` the number
    of coordinates (Salakhutdinov and Mnih 2008, equation 14).

    Args:
        vectors: ``(n, F)``.
        rng: source of the random numbers.

    Returns:
        Mean ``(F,)`` and precision ``(F, F)``.
    """
    n, size = vectors.shape
    beta, degrees = 2 + n, size + n
    center = vectors.sum(dim=0) / beta
    # One sum of outer products holds the scatter and the shrinkage of the mean towards 0.
    inverse_scale = (
        torch.eye(size, dtype=vectors.dtype) + vectors.mT @ vectors - beta * torch.outer(center, center)
    )
    root = torch.linalg.cholesky(torch.linalg.inv(inverse_scale))
    bartlett = normal(rng, (size, size), vectors).tril(-1)
    bartlett += torch.from_numpy(np.sqrt(rng.chisquare(degrees - np.arange(size)))).to(vectors.dtype).diag()
    root = root @ bartlett
    mean = torch.linalg.solve_triangular(root.mT, normal(rng, (size, 1), vectors), upper=True)[:, 0]
    return center + mean / beta**0.5, root @ root.mT


def draw_noise_precision(errors: torch.Tensor, rng: np.random.Generator) -> float:
    r"""Draw :math:`\tau` from its posterior, with a Gamma(1, 1) prior that is worth two ratings.

    Args:
        errors: ratings minus predictions, ``(N,)``.
        rng: source of the random numbers.
    """
    return float(rng.gamma(1 + len(errors) / 2, 1 / (1 + float(errors.square().sum()) / 2)))


def normal(rng: np.random.Generator, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Standard normal numbers of the type of another tensor."""
    return torch.from_numpy(rng.standard_normal(shape)).to(like.dtype)


def _draw_side(
    rows: Rows, own: torch.Tensor, other: torch.Tensor, precision: float, rng: np.random.Generator
) -> torch.Tensor:
    """Draw all vectors of one side, their prior first, given those of the other side."""
    design = torch.cat([other[:, :-1], torch.ones_like(other[:, :1])], dim=1)  # the 1 meets the own bias
    target = rows.values - other[rows.columns, -1]
    return draw_rows(rows, design, target, precision, draw_prior(own, rng), rng)


def _errors(by_user: Rows, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    """Centred ratings minus their predictions, ``(N,)``."""
    bias = torch.repeat_interleave(user[:, -1], by_user.lengths) + item[by_user.columns, -1]
    return by_user.values - bias - by_user.products(user[:, :-1], item[:, :-1])
