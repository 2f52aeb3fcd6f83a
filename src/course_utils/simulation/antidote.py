"""Ratings of accounts that nobody owns, made to change what a factorisation predicts for others; chapter 14.

In the spirit of Rastegarpanah, Gummadi and Crovella (2019): the model and the ratings of real users stay as they are;
a few accounts are added, whose ratings are chosen by gradient so that the predictions for real users disagree less.
The same few lines can make them disagree more: who may add accounts has a dial. Sizes: ``U`` real users, ``A`` added
accounts, ``I`` items, ``F`` factors.
"""

from __future__ import annotations

import pandas as pd
import torch

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, check_counts
from course_utils.models.als import ALS


def disagreement(predicted: torch.Tensor) -> float:
    """Mean over items of the variance of their predictions over users, in squared rating units; chapter 14.

    Args:
        predicted: ``(U, I)``, ``U`` at least 2.
    """
    return float(predicted.var(dim=0).mean())


def with_accounts(interactions: Interactions, ratings: torch.Tensor) -> Interactions:
    """The interactions and, after the users in them, accounts that rate every item; chapter 14.

    Args:
        interactions: of the real users, codes ``0 .. U - 1``.
        ratings: of the accounts, ``(A, I)``; they get the codes ``U .. U + A - 1``.

    Raises:
        InputError: ``ratings`` has another number of items.
    """
    n_users, n_items, added = interactions.n_users, interactions.n_items, len(ratings)
    if ratings.ndim != 2 or ratings.shape[1] != n_items:
        raise InputError("ratings", got=f"shape {tuple(ratings.shape)}", expected=f"shape (A, {n_items})")
    users = torch.arange(n_users, n_users + added).repeat_interleave(n_items)
    return Interactions(
        torch.cat([interactions.users, users]),
        torch.cat([interactions.items, torch.arange(n_items).repeat(added)]),
        torch.cat([interactions.ratings, ratings.flatten().to(interactions.ratings.dtype)]),
        torch.cat([interactions.timestamps, torch.zeros_like(users)]),
        interactions.user_ids.append(pd.Index([f"added {a}" for a in range(added)])),
        interactions.item_ids,
    )


def damped_means(interactions: Interactions) -> torch.Tensor:
    """Mean rating of each item, with five ratings at the mean of all added, ``(I,)``; chapter 14."""
    n, ratings = interactions.n_items, interactions.ratings
    count = torch.bincount(interactions.items, minlength=n)
    return (torch.bincount(interactions.items, ratings, n) + 5 * ratings.mean()) / (count + 5)


def antidote(
    interactions: Interactions,
    accounts: int,
    *,
    factors: int = 8,
    regularization: float = 0.14,
    steps: int = 10,
    raise_it: bool = False,
    seed: int = 0,
) -> torch.Tensor:
    r"""Ratings of added accounts that lower the disagreement of an ALS without biases; taught in chapter 14.

    With user vectors held, an item's vector is the ridge answer :math:`q = A^{-1} \sum_u p_u r_u`. So a rating
    :math:`x` of an added account with vector :math:`p` moves it by :math:`A^{-1} p\,dx`, and the variance
    :math:`q^\top C q` of its predictions, C the covariance of the real users' vectors, by
    :math:`2\,q^\top C A^{-1} p\,dx`. All accounts start at the means of the items, with a little noise. Each step goes
    against the slope, a tenth of a star on average, and stays within 1..5; then two rounds of ALS. Larger steps
    do worse: the vectors of the accounts, held within a step, move between steps.

    Args:
        interactions: ratings of the real users, in 1..5.
        accounts: A, at least 1.
        factors: F.
        regularization: λ of ALS-WR.
        steps: at least 1.
        raise_it: True makes users disagree more.
        seed: of the noise and of the model's start.

    Returns:
        Whole stars, ``(A, I)``.

    Raises:
        InputError: ``accounts`` or ``steps`` is below 1.
    """
    check_counts(accounts=accounts, steps=steps)
    n, dtype = interactions.n_users, interactions.ratings.dtype
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(accounts, interactions.n_items, generator=generator, dtype=dtype) - 0.5
    x = damped_means(interactions) + 0.2 * noise
    settings = {"factors": factors, "regularization": regularization, "biases": False, "seed": seed}
    item = ALS(iterations=10, **settings).fit(interactions).item_factors
    for _ in range(steps):
        everyone = with_accounts(interactions, x)
        model = ALS(iterations=2, **settings).fit(everyone, item_factors=item)
        user, item = model.user_factors, model.item_factors
        slope = _slopes(user, item, everyone, n, regularization)
        step = 0.1 * slope / slope.abs().mean()
        x = (x + step if raise_it else x - step).clamp(1, 5)
    return x.round()


def _slopes(
    user: torch.Tensor, item: torch.Tensor, everyone: Interactions, n: int, regularization: float
) -> torch.Tensor:
    """Half the derivative of each item's variance with respect to each added rating, ``(A, I)``."""
    rated = torch.zeros(len(user), len(item), dtype=user.dtype)
    rated[everyone.users, everyone.items] = 1
    outer = (user[:, :, None] * user[:, None, :]).flatten(1)  # (U + A, F * F)
    gram = (rated.T @ outer).unflatten(1, (user.shape[1], -1))  # (I, F, F)
    gram.diagonal(dim1=1, dim2=2).add_(regularization * rated.sum(dim=0)[:, None])
    pull = torch.linalg.solve(gram, item @ torch.cov(user[:n].T))  # A^-1 C q, (I, F)
    return user[n:] @ pull.T
