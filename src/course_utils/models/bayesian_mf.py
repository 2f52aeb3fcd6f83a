"""Bayesian matrix factorisation, chapter 5. Sizes are those of ``least_squares``; ``F`` counts the bias."""

from typing import Self

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import embedding

from course_utils.data.interactions import Interactions, check_codes, check_pairs
from course_utils.errors import check_counts, check_range
from course_utils.models.base import Codes, Described
from course_utils.models.least_squares import Rows, pad

Pair = tuple[Tensor, Tensor]


class BayesianMF(Described):
    r"""Rating prediction by averaging over many matrix factorisations, each drawn from the posterior.

    The model is :math:`r_{ui} \sim N(\mu + b_u + b_i + p_u \cdot q_i,\; 1/\tau)`. User vectors :math:`(p_u, b_u)` come
    from one normal distribution, item vectors :math:`(q_i, b_i)` from another. The means and precisions of these two
    and the noise precision :math:`\tau` are unknown too, so nothing is left to tune (Salakhutdinov and Mnih 2008,
    section 3; they fix :math:`\tau = 2`, without biases). Gibbs sampling: after ``burn_in`` draws it keeps ``samples``.

    After ``fit``: ``user_factors``, ``(samples, n_users, factors)``, ``item_factors`` likewise; in rating units are
    ``user_biases``, ``(samples, n_users)``, ``item_biases``, and the deviation of a rating, ``noise``, ``(samples,)``.
    """

    def __init__(self, factors: int = 10, samples: int = 100, burn_in: int = 20, seed: int = 0) -> None:
        check_counts(factors=factors)
        check_counts(2, samples=samples)
        check_counts(0, burn_in=burn_in)
        self.factors, self.samples, self.burn_in, self.seed = factors, samples, burn_in, seed
        self.user_factors: Tensor | None = None

    def fit(self, interactions: Interactions) -> Self:
        """Run the Gibbs sampler: noise, user prior, users, item prior, items, and again."""
        self.mean = float(interactions.ratings.mean())
        by_user, by_item = Rows.both_sides(interactions, interactions.ratings - self.mean)
        rng = np.random.default_rng(self.seed)
        user, item = (0.1 * _normal(rng, (len(x), self.factors + 1), by_user.values) for x in (by_user, by_item))
        user[:, -1], item[:, -1] = 0, 0
        kept = []
        for sweep in range(self.burn_in + self.samples):
            bias = torch.repeat_interleave(user[:, -1], by_user.lengths) + item[by_user.columns, -1]
            errors = by_user.values - bias - by_user.products(user[:, :-1], item[:, :-1])
            precision = _draw_noise_precision(errors, rng)
            user = _draw_side(by_user, user, item, precision, rng)
            item = _draw_side(by_item, item, user, precision, rng)
            if sweep >= self.burn_in:
                kept.append((user, item, precision))
        users, items = (torch.stack([draw[side] for draw in kept]) for side in (0, 1))
        self.user_factors, self.user_biases = users[..., :-1], users[..., -1]
        self.item_factors, self.item_biases = items[..., :-1], items[..., -1]
        self.noise = torch.tensor([draw[2] for draw in kept], dtype=users.dtype).rsqrt()
        return self

    def predict(self, users: Codes, items: Codes) -> Tensor:
        """Predicted ratings of pairs, the mean over the draws, ``(n,)``, not clipped."""
        return self._moments(users, items)[0]

    def predict_interval(self, users: Codes, items: Codes, level: float = 0.9) -> Pair:
        """Lower and upper ends, ``(n,)``, of intervals that should hold a share ``level`` of the ratings, not clipped.

        The variance is that of the draws plus that of a single rating; the sum is taken for normal.
        """
        check_range("between 0 and 1", level=level)
        mean, variance = self._moments(users, items)
        width = torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=mean.dtype))
        half = width * (variance + self.noise.square().mean()).sqrt()
        return mean - half, mean + half

    def score(self, users: Codes) -> Tensor:
        """Predicted ratings of all items, ``(len(users), n_items)``."""
        users = check_codes(users, self._fitted(self.user_factors).shape[1], "users")
        # The mean over draws of products is one product of the draws laid side by side.
        P = self.user_factors[:, users].permute(1, 0, 2).flatten(1)  # (n, samples * factors)
        Q = self.item_factors.permute(1, 0, 2).flatten(1)  # (n_items, samples * factors)
        biases = self.user_biases[:, users].mean(0)[:, None] + self.item_biases.mean(0)
        return self.mean + biases + P @ Q.mT / self.samples

    def _moments(self, users: Codes, items: Codes) -> Pair:
        """Mean and variance of the predictions over the draws, each ``(n,)``."""
        self._fitted(self.user_factors)
        users, items = check_pairs(users, items, self.user_factors.shape[1], self.item_factors.shape[1])
        predictions = self.user_biases[:, users] + self.item_biases[:, items]  # (samples, n)
        for draw, (P, Q) in enumerate(zip(self.user_factors, self.item_factors, strict=True)):
            predictions[draw] += (P[users] * Q[items]).sum(dim=1)
        return self.mean + predictions.mean(0), predictions.var(0)


def _draw_side(rows: Rows, own: Tensor, other: Tensor, precision: float, rng: Generator) -> Tensor:
    """Draw all vectors of one side, their prior first, given those of the other side."""
    design = torch.cat([other[:, :-1], torch.ones_like(other[:, :1])], dim=1)  # the 1 meets the own bias
    return _draw_rows(rows, design, rows.values - other[rows.columns, -1], precision, _draw_prior(own, rng), rng)


def _draw_rows(rows: Rows, design: Tensor, target: Tensor, tau: float, prior: Pair, rng: Generator) -> Tensor:
    r"""Draw each row's vector from its posterior: :math:`x_u \sim N(A_u^{-1} h_u, A_u^{-1})`, ``(R, F)``.

    As :func:`course_utils.models.least_squares.ridge`, with :math:`A_u = \tau Y_u^\top Y_u + \Lambda` and
    :math:`h_u = \tau Y_u^\top t_u + \Lambda m` (Salakhutdinov and Mnih 2008, equations 11 to 13). The prior is
    :math:`m`, ``(F,)``, and :math:`\Lambda`, ``(F, F)``. With :math:`A = L L^\top` and standard normal :math:`z`,
    :math:`L^{-\top} z` has the covariance :math:`A^{-1}`.
    """
    mean, precision = prior
    noise = _normal(rng, (len(rows), design.shape[1]), design)
    drawn = torch.empty_like(noise)
    right = tau * (rows.matrix(target) @ design) + precision @ mean  # h of every row, (R, F)
    design = pad(design)
    for ids, columns, _ in rows.batches(design.shape[1]):
        Y = embedding(columns, design)  # (B, L, F)
        L = torch.linalg.cholesky(tau * (Y.mT @ Y) + precision)
        half = torch.linalg.solve_triangular(L, right[ids, :, None], upper=False)  # then L^-T (L^-1 h + z)
        drawn[ids] = torch.linalg.solve_triangular(L.mT, half + noise[ids, :, None], upper=True)[..., 0]
    return drawn


def _draw_prior(vectors: Tensor, rng: Generator) -> Pair:
    r"""Draw the mean, ``(F,)``, and the precision, ``(F, F)``, of the distribution that the vectors came from.

    Normal-Wishart posterior with :math:`\mu_0 = 0`, :math:`\beta_0 = 2`, :math:`W_0 = I`, :math:`\nu_0 = F`
    (Salakhutdinov and Mnih 2008, equation 14). The vectors are ``(n, F)``.
    """
    n, size = vectors.shape
    beta, degrees = 2 + n, size + n
    center = vectors.sum(dim=0) / beta
    inverse_scale = torch.eye(size, dtype=vectors.dtype) + vectors.mT @ vectors - beta * torch.outer(center, center)
    root = torch.linalg.cholesky(torch.linalg.inv(inverse_scale))
    bartlett = _normal(rng, (size, size), vectors).tril(-1)
    bartlett += torch.from_numpy(np.sqrt(rng.chisquare(degrees - np.arange(size)))).to(vectors.dtype).diag()
    root = root @ bartlett
    mean = torch.linalg.solve_triangular(root.mT, _normal(rng, (size, 1), vectors), upper=True)[:, 0]
    return center + mean / beta**0.5, root @ root.mT


def _draw_noise_precision(errors: Tensor, rng: Generator) -> float:
    r"""Draw :math:`\tau` given the errors, ``(N,)``, with a Gamma(1, 1) prior that is worth two ratings."""
    return float(rng.gamma(1 + len(errors) / 2, 1 / (1 + float(errors.square().sum()) / 2)))


def _normal(rng: Generator, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Standard normal numbers of the type of another tensor."""
    return torch.from_numpy(rng.standard_normal(shape)).to(like.dtype)
