"""Negatives for training: items that a user has not met (floor 1)."""

from __future__ import annotations

import torch

from course_utils.errors import InputError
from course_utils.interactions import Interactions


def uniform(
    interactions: Interactions, users: torch.Tensor, n: int, *, generator: torch.Generator
) -> torch.Tensor:
    r"""Items drawn uniformly from those that a user has no interaction with; taught in chapters 6 and 11.

    The distribution is that of drawing again on a collision (Rendle et al. 2009, section 5), without the
    loop. Let :math:`p_0 < p_1 < \dots` be a user's items. The unseen item with :math:`r` unseen ones before it is
    :math:`r` plus the number of :math:`j` with :math:`p_j - j \le r`. One binary search finds that number.

    Args:
        interactions: the training part; an item is positive whatever its rating.
        users: user codes, ``(B,)``; the same user may stand there often.
        n: items for each entry of ``users``, at least 1.
        generator: source of the random numbers.

    Returns:
        Item codes, ``(B, n)``, drawn with replacement; never a training positive of that user.

    Raises:
        InputError: ``n`` is below 1, a user code is out of range, or a user has met every item.
    """
    if n < 1:
        raise InputError("n", got=n, expected="at least 1")
    if len(users) and (int(users.min()) < 0 or int(users.max()) >= interactions.n_users):
        got = f"codes {int(users.min())}..{int(users.max())}"
        raise InputError("users", got=got, expected=f"codes in 0..{interactions.n_users - 1}")
    keys, starts, unseen = _index(interactions)
    if (unseen[users] == 0).any():
        full = int(users[unseen[users] == 0][0])
        raise InputError(
            "users", got=f"user code {full}, who has met every item", expected="an unseen item for each"
        )
    share = torch.rand(len(users), n, dtype=torch.float64, generator=generator, device=generator.device)
    rank = (share * unseen[users, None]).long()  # (B, n), uniform in 0 .. unseen - 1
    passed = torch.searchsorted(keys, users[:, None] * interactions.n_items + rank, right=True)
    return rank + passed - starts[users, None]


def _index(interactions: Interactions) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sorted keys ``user * n_items + p_j - j``, each user's first place among them, and the unseen counts."""
    memo = vars(interactions)  # an Interactions never changes, so the index is made once and kept with it
    if "_unseen_index" not in memo:
        n_users, n_items = interactions.n_users, interactions.n_items
        keys = (interactions.users * n_items + interactions.items).unique()  # sorted, each pair once
        owners = keys // n_items
        counts = torch.bincount(owners, minlength=n_users)
        starts = counts.cumsum(0) - counts
        places = torch.arange(len(keys)) - starts[owners]  # j
        memo["_unseen_index"] = (keys - places, starts, n_items - counts)
    return memo["_unseen_index"]
