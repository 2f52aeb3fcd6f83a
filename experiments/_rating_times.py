"""Two contexts of a rating for chapter 15's factorization machine: codes of when it was given."""

from __future__ import annotations

import torch

from course_utils.data import Interactions

WEEKS, DAYS = 41, 9  # codes of the two contexts of rating_times


def rating_times(train: Interactions, asked: Interactions) -> torch.Tensor:
    """When a rating was given: the week of the data, and how long the user had been there; taught in chapter 15.

    Codes ``(len(asked), 2)``: weeks since the first training rating, 0..40; log2(1 + days) since the user's, cut, 0..8.
    """
    first = torch.full((train.n_users,), int(asked.timestamps.max()))
    first = first.scatter_reduce(0, train.users, train.timestamps, "amin")
    weeks = (asked.timestamps - train.timestamps.min()).clamp(min=0) // (7 * 86400)
    days = (asked.timestamps - first[asked.users]).clamp(min=0).double() / 86400
    return torch.stack([weeks.clamp(max=WEEKS - 1), torch.log2(1 + days).long().clamp(max=DAYS - 1)], dim=1)
