"""Ratings of accounts that nobody owns, made to change what a factorisation predicts for others; chapter 14.

In the spirit of Rastegarpanah, Gummadi and Crovella (2019): ratings of a few added accounts are chosen by gradient so
that predictions for real users disagree less, or more. Sizes: U real users, A added accounts, I items, F factors.
"""

import pandas as pd
import torch

from course_utils.data.interactions import Interactions
from course_utils.errors import check_counts, check_shape
from course_utils.models.als import ALS

REGULARIZATION = 0.14  # of ALS-WR


def disagreement(predicted: torch.Tensor) -> float:
    """Mean over items of the variance of their predictions ``(U, I)`` over users, in squared stars; chapter 14."""
    return float(predicted.var(dim=0).mean())


def with_accounts(interactions: Interactions, ratings: torch.Tensor) -> Interactions:
    """The interactions and, after the users in them, accounts that rate every item, ``(A, I)``; chapter 14."""
    n_users, n_items = interactions.n_users, interactions.n_items
    check_shape("A", n_items, ratings=ratings)
    users = torch.arange(n_users, n_users + len(ratings)).repeat_interleave(n_items)
    own = interactions.users, interactions.items, interactions.ratings, interactions.timestamps
    items, stars = torch.arange(n_items).repeat(len(ratings)), ratings.flatten().to(interactions.ratings.dtype)
    columns = map(torch.cat, zip(own, (users, items, stars, torch.zeros_like(users)), strict=True))
    user_ids = interactions.user_ids.append(pd.Index([f"added {a}" for a in range(len(ratings))]))
    return Interactions(*columns, user_ids, interactions.item_ids)


def damped_means(interactions: Interactions) -> torch.Tensor:
    """Mean rating of each item, with five ratings at the mean of all added, ``(I,)``; chapter 14."""
    n, ratings = interactions.n_items, interactions.ratings
    count = torch.bincount(interactions.items, minlength=n)
    return (torch.bincount(interactions.items, ratings, n) + 5 * ratings.mean()) / (count + 5)


def antidote(
    interactions: Interactions, accounts: int, *, factors: int = 8, raise_it: bool = False, seed: int = 0
) -> torch.Tensor:
    r"""Whole stars ``(A, I)`` of added accounts that lower the disagreement of an ALS without biases; chapter 14.

    With user vectors held, an item's vector is the ridge answer :math:`q = A^{-1} \sum_u p_u r_u`. So a rating
    :math:`x` of an added account with vector :math:`p` moves it by :math:`A^{-1} p\,dx`, and the variance
    :math:`q^\top C q` of its predictions, C the covariance of the real users' vectors, by
    :math:`2\,q^\top C A^{-1} p\,dx`. All accounts start at the means of the items, with a little noise. Each of
    ten steps goes against the slope (with ``raise_it`` up), a tenth of a star on average, and stays within 1..5; then
    two rounds of ALS. Larger steps do worse: the vectors of the accounts, held within a step, move between steps.
    """
    check_counts(accounts=accounts)
    n_items, dtype = interactions.n_items, interactions.ratings.dtype
    generator = torch.Generator().manual_seed(seed)
    x = damped_means(interactions) + 0.2 * (torch.rand(accounts, n_items, generator=generator, dtype=dtype) - 0.5)
    settings = {"factors": factors, "regularization": REGULARIZATION, "weighted": True, "biases": False, "seed": seed}
    model = ALS(iterations=10, **settings).fit(interactions)
    for _ in range(10):
        everyone = with_accounts(interactions, x)
        model = ALS(iterations=2, **settings).fit(everyone, item_factors=model.item_factors)
        slope = _slopes(model.user_factors, model.item_factors, everyone, interactions.n_users)
        step = 0.1 * slope / slope.abs().mean()
        x = (x + step if raise_it else x - step).clamp(1, 5)
    return x.round()


def _slopes(user: torch.Tensor, item: torch.Tensor, everyone: Interactions, n: int) -> torch.Tensor:
    """Half the derivative of each item's variance with respect to each added rating, ``(A, I)``."""
    rated = everyone.mask().to(user.dtype)
    outer = (user[:, :, None] * user[:, None, :]).flatten(1)  # (U + A, F * F)
    gram = (rated.T @ outer).unflatten(1, (user.shape[1], -1))  # (I, F, F)
    gram.diagonal(dim1=1, dim2=2).add_(REGULARIZATION * rated.sum(dim=0)[:, None])
    pull = torch.linalg.solve(gram, item @ torch.cov(user[:n].T))  # A^-1 C q, (I, F)
    return user[n:] @ pull.T
