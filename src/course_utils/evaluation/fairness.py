"""Who gets what: gaps between groups of users with an interval, exposure of groups of items; taught in chapter 13.

The terms with a gradient are in :mod:`course_utils.learning.regularizers`. ``recommended`` holds item codes, best
first, ``(n_lists, k)``; -1 marks a place that stayed empty.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_utils.errors import InputError, check_counts, check_range, check_shape, refuse
from course_utils.evaluation.metrics import check_lists
from course_utils.evaluation.significance import MIDDLE, random_rows
from course_utils.learning.regularizers import check_rows

Rows = Tensor | np.ndarray


class Gap(NamedTuple):
    """The measure in both groups, the difference ``second - first`` with its 95 % interval, and all resamples.

    Two models on the same rows with the same seed are resampled alike: ``after.draws - before.draws`` is the change.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    draws: np.ndarray  # (samples, 2)


def group_gap(
    values: Rows, groups: Rows, *, users: Rows | None = None, root: bool = False, samples: int = 2000, seed: int = 0
) -> Gap:
    """The gap of a mean between two groups, with a 95 % bootstrap interval over users; in units of the values.

    Users are resampled within their group, each with all of her rows (Efron 1979): the ratings of one person are
    no independent witnesses. ``values`` are one a row, ``(n,)``, nan is skipped; ``groups`` says whether a row is of
    group 0 or 1, ``users`` whose it is: left out, each is a user of its own. ``root`` makes RMSE of squared errors.
    """
    values, groups = np.asarray(values, float), np.asarray(groups)
    check_shape("n", values=values)
    users = np.arange(len(values)) if users is None else np.asarray(users)
    check_shape(len(values), groups=groups, users=users)
    if not np.isin(groups, (0, 1)).all():
        raise InputError("groups", got=f"{np.unique(groups)[:5].tolist()}", expected="two groups, 0 and 1")
    check_counts(samples=samples)
    rng, means, draws = np.random.default_rng(seed), [], []
    for group in (0, 1):
        kept = (groups == group) & ~np.isnan(values)
        refuse(not kept.any(), "groups", f"no row with a value in group {group}", "rows of both")
        _, place = np.unique(users[kept], return_inverse=True)
        total, rows = np.bincount(place, values[kept]), np.bincount(place)  # of each user
        means.append(total.sum() / rows.sum())
        pieces = random_rows(samples, len(rows), len(rows), rng)
        draws.append(np.concatenate([total[p].sum(axis=1) / rows[p].sum(axis=1) for p in pieces]))
    if root:
        means, draws = np.sqrt(means), np.sqrt(draws)
    first, second = map(float, means)
    low, high = np.quantile(draws[1] - draws[0], MIDDLE).tolist()
    return Gap(first, second, second - first, low, high, np.stack(draws, axis=1))


def exposure(recommended: Tensor, n_items: int) -> Tensor:
    """Mean attention of each item, 1 / log2(1 + rank) in a list (Singh and Joachims 2018): ``(n_items,)``, 0 to 1."""
    recommended = check_lists(recommended, n_items)
    check_shape("n_lists", "k", recommended=recommended)
    refuse(not recommended.numel(), "recommended", "no list", "at least one place in one")
    discount = 1 / torch.log2(torch.arange(recommended.shape[1]) + 2.0)
    real = recommended >= 0
    total = torch.bincount(recommended[real], discount.expand_as(recommended)[real], minlength=n_items)
    return total / len(recommended)


def group_exposure(recommended: Tensor, groups: Tensor) -> Tensor:
    """Mean exposure of each group's items (Singh and Joachims 2018): ``(n_groups,)``, 0 to 1.

    ``groups`` holds the group of each item, ``(n_items,)``: whole numbers from 0, each with an item.
    """
    return _item_means(exposure(recommended, len(groups)), groups)


def exposure_per_merit(recommended: Tensor, groups: Tensor, merit: Tensor) -> Tensor:
    """Exposure of a group over its merit (disparate treatment of Singh and Joachims 2018): ``(n_groups,)``.

    Equal values mean that attention is in proportion to merit, ``(n_items,)``, 0 or more, such as mean relevance.
    """
    merit = torch.as_tensor(merit)
    check_shape(len(groups), merit=merit)
    check_range("0 or more", merit=merit)
    deserved = _item_means(merit.to(torch.get_default_dtype()), groups)
    refuse(bool((deserved == 0).any()), "merit", "a group without any", "some merit in each group")
    return group_exposure(recommended, groups) / deserved


def _item_means(values: Tensor, groups: Tensor) -> Tensor:
    """Mean of the items' values in each group."""
    check_rows(groups)
    size = torch.bincount(groups)
    if bool((size == 0).any()):
        raise InputError("groups", got=f"no item in group {int(size.argmin())}", expected="items in each")
    return torch.bincount(groups, values) / size
